//! A cluster comes up, serves, and leaves nothing behind.

use local_stack::{Cluster, PostgresKind};

async fn starts_and_leaves_nothing(kind: PostgresKind) {
    let cluster = Cluster::start(kind, &[("max_connections", "20")]).await.unwrap();
    cluster.create_database("app", None).await.unwrap();
    let client = cluster.connect("app").await.unwrap();
    let connections: String = client.query_one("show max_connections", &[]).await.unwrap().get(0);
    assert_eq!(connections, "20");

    let directory = cluster.socket_directory().parent().unwrap().to_owned();
    assert!(directory.exists());
    let url = cluster.url("app");
    drop(cluster);
    assert!(!directory.exists());
    assert!(tokio_postgres::connect(&url, tokio_postgres::NoTls).await.is_err());
}

#[tokio::test]
async fn the_embedded_postgres_starts_and_leaves_nothing() {
    starts_and_leaves_nothing(PostgresKind::Embedded).await;
}

#[tokio::test]
async fn a_setting_postgres_refuses_is_reported_with_its_words() {
    let error = Cluster::start(PostgresKind::Embedded, &[("no_such_setting", "1")]).await.err().unwrap().to_string();
    assert!(error.contains(r#"unrecognized configuration parameter "no_such_setting""#), "{error}");
}

#[tokio::test]
async fn debian_s_postgres_starts_and_leaves_nothing() {
    starts_and_leaves_nothing(PostgresKind::System).await;
}

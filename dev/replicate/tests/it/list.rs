//! The list: the only way to find a create whose answer was lost.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::advance;

use crate::{Api, SCHNELL};

fn ids(page: &Value) -> Vec<String> {
    page["results"]
        .as_array()
        .expect("results")
        .iter()
        .map(|prediction| prediction["id"].as_str().expect("id").to_owned())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn the_window_includes_its_start_and_not_its_end_newest_first() {
    let api = Api::start().await;
    let mut all = Vec::new();
    for prompt in ["one", "two", "three", "four"] {
        all.push(api.created(SCHNELL, json!({"prompt": prompt})).await);
        advance(Duration::from_secs(1)).await;
    }
    let page = api.get("/predictions").await.json();
    assert_eq!(ids(&page), [&all[3], &all[2], &all[1], &all[0]].map(String::clone));
    assert_eq!((&page["next"], &page["previous"]), (&Value::Null, &Value::Null));
    assert_eq!(page["results"][0]["input"], json!({"prompt": "four"}));

    let time = |place: usize| page["results"][3 - place]["created_at"].as_str().expect("created_at").to_owned();
    let window = api.get(&format!("/predictions?created_after={}&created_before={}", time(1), time(3))).await.json();
    assert_eq!(ids(&window), [&all[2], &all[1]].map(String::clone));
    assert_eq!(api.get("/predictions?created_after=yesterday").await.status, 400);
}

#[tokio::test(start_paused = true)]
async fn pages_have_a_hundred_and_do_not_shift() {
    let api = Api::start().await;
    let mut all = Vec::new();
    for number in 0..250 {
        all.push(api.created(SCHNELL, json!({"prompt": number.to_string()})).await);
    }
    all.reverse();
    let follow = async |page: &Value, link: &str| {
        let url = page[link].as_str().expect(link);
        let path = url.strip_prefix(&api.server.api_url()).expect("a link to ourselves").to_owned();
        api.get(&path).await.json()
    };
    let first = api.get("/predictions?created_after=2020-01-01T00:00:00Z").await.json();
    api.created(SCHNELL, json!({"prompt": "later"})).await;
    let second = follow(&first, "next").await;
    let third = follow(&second, "next").await;
    assert_eq!([ids(&first), ids(&second), ids(&third)].concat(), all);
    assert_eq!(third["next"], Value::Null);
    assert_eq!(ids(&follow(&third, "previous").await), ids(&second));
    assert!(second["next"].as_str().expect("next").contains("created_after=2020-01-01T00:00:00Z"));
}

//! What gateway, PostgREST and Postgres may answer in place of an answer, in the same few conversations.

use crate::script::run_text;

/// What nobody can say the effect of: the call may have been carried out.
const UNKNOWN: &[&str] = &[
    "lost",
    // PostgREST's issue 4681: a pooled connection that died with the database.
    r#"400 {"code":"","details":null,"hint":null,"message":""}"#,
    "400 ",
    "400 <html>Bad Request</html>",
    r#"400 {"code":null,"message":"bad request"}"#,
    r#"400 {"code":22023,"message":"the code is no text"}"#,
    "408 ",
    "500 ",
    "502 <html><body>502 Bad Gateway</body></html>",
    r#"503 {"message":"name resolution failed"}"#,
    r#"503 {"code":"PGRST001","message":"Database client error. Retrying the connection."}"#,
    r#"504 {"message":"The upstream server is timing out"}"#,
    "520 error code: 520",
    "524 error code: 524",
    "530 error code: 1033",
    // Answers that do not fit.
    "200 ",
    "204 ",
    "200 null",
    "200 [true]",
    "200 <html>soon back</html>",
    r#"200 {"settled":[true],"seconds_until_next":null}"#,
    r#"200 {"settled":[true],"jobs":null,"seconds_until_next":null}"#,
    r#"200 {"settled":[true],"jobs":{},"seconds_until_next":null}"#,
    r#"200 {"settled":[true],"jobs":[]}"#,
    r#"200 {"settled":[true],"jobs":[],"seconds_until_next":"0"}"#,
    r#"200 {"settled":[true],"jobs":[],"seconds_until_next":[]}"#,
    r#"200 {"jobs":[],"seconds_until_next":null}"#,
    r#"200 {"settled":true,"jobs":[],"seconds_until_next":null}"#,
    r#"200 {"settled":[],"jobs":[],"seconds_until_next":null}"#,
    r#"200 {"settled":[true,true],"jobs":[],"seconds_until_next":null}"#,
    r#"200 {"settled":[null],"jobs":[],"seconds_until_next":null}"#,
    r#"200 {"settled":["no",1],"jobs":[],"seconds_until_next":null}"#,
    r#"200 {"settled":[1],"jobs":[],"seconds_until_next":null}"#,
    r#"200 {"settled":[{}],"jobs":[],"seconds_until_next":null}"#,
    r#"200 {"settled":[{"again":true}],"jobs":[],"seconds_until_next":null}"#,
];

/// What says that the call was not carried out, for a reason that is not what it carried.
const NOT_DONE: &[&str] = &[
    "301 ",
    "307 <html>Temporary Redirect</html>",
    r#"400 {"code":"26000","message":"prepared statement \"1\" does not exist"}"#,
    r#"400 {"code":"0A000","message":"cached plan must not change result type"}"#,
    r#"400 {"code":"42P05","message":"prepared statement \"1\" already exists"}"#,
    r#"400 {"code":"42703","message":"column does not exist"}"#,
    r#"400 {"code":"3F000","message":"schema does not exist"}"#,
    r#"400 {"code":"25P02","message":"current transaction is aborted"}"#,
    r#"400 {"code":"PGRST102","message":"Empty or invalid json"}"#,
    r#"400 {"code":"PGRST22","message":"a code of no class"}"#,
    r#"401 {"message":"Invalid API key"}"#,
    r#"401 {"code":"PGRST301","message":"JWT cryptographic operation failed"}"#,
    r#"401 {"code":"PGRST302","message":"Anonymous access is disabled"}"#,
    r#"401 {"code":"PGRST303","message":"JWT issued at future"}"#,
    r#"401 {"code":"22023","message":"role \"service_role\" does not exist"}"#,
    r#"401 {"code":"42501","message":"permission denied for function exchange_jobs"}"#,
    r#"403 {"code":"42501","message":"permission denied for function exchange_jobs"}"#,
    r#"403 {"code":"28P01","message":"password authentication failed"}"#,
    "403 <html>blocked</html>",
    "404 ",
    r#"404 {"message":"no Route matched with those values"}"#,
    r#"404 {"code":"PGRST125","message":"Invalid path specified in request URL"}"#,
    r#"404 {"code":"PGRST202","message":"Could not find the function in the schema cache"}"#,
    r#"404 {"code":"42883","message":"function does not exist"}"#,
    r#"404 {"code":"42P01","message":"relation does not exist"}"#,
    r#"405 {"code":"25006","message":"cannot execute UPDATE in a read-only transaction"}"#,
    r#"406 {"code":"PGRST106","message":"The schema must be one of the following: api"}"#,
    r#"409 {"message":"conflict"}"#,
    r#"409 {"code":"40001","message":"could not serialize access"}"#,
    "413 <html>Request Entity Too Large</html>",
    "414 ",
    r#"415 {"code":"PGRST107","message":"no"}"#,
    r#"422 {"code":"22023","message":"of whom"}"#,
    r#"429 {"message":"API rate limit exceeded"}"#,
    r#"500 {"code":"40P01","message":"deadlock detected"}"#,
    r#"500 {"code":"53400","message":"configuration limit exceeded"}"#,
    r#"500 {"code":"54001","message":"stack depth limit exceeded"}"#,
    r#"500 {"code":"55P03","message":"canceling statement due to lock timeout"}"#,
    r#"500 {"code":"57014","message":"canceling statement due to statement timeout"}"#,
    r#"500 {"code":"58030","message":"could not read file"}"#,
    r#"500 {"code":"XX000","message":"cache lookup failed"}"#,
    r#"500 {"code":"PGRST300","message":"Server lacks JWT secret"}"#,
    r#"503 {"code":"08006","message":"connection failure"}"#,
    r#"503 {"code":"53300","message":"sorry, too many clients already"}"#,
    r#"503 {"code":"57P01","message":"terminating connection due to administrator command"}"#,
    r#"503 {"code":"57P03","message":"the database system is starting up"}"#,
    r#"503 {"code":"PGRST000","message":"Database connection error. Retrying the connection."}"#,
    r#"503 {"code":"PGRST002","message":"Could not query the database for the schema cache. Retrying."}"#,
    r#"504 {"code":"PGRST003","message":"Timed out acquiring connection from connection pool."}"#,
];

/// What says of this one outcome that it could not be recorded now.
const AGAIN: &[&str] =
    &[r#"{"again":"could not obtain lock on row in relation \"image_generations\""}"#, r#"{"again":""}"#];

/// What says that an outcome cannot be recorded as it is.
const REFUSALS: &[&str] = &[
    r#"400 {"code":"22P05","message":"unsupported Unicode escape sequence"}"#,
    r#"400 {"code":"22023","message":"p_outcomes must be a json array"}"#,
    r#"400 {"code":"23514","message":"violates check constraint"}"#,
    r#"409 {"code":"23505","message":"duplicate key value violates unique constraint"}"#,
    r#"400 {"code":"P0001","message":"no pictures on Sundays"}"#,
];

const JOB: &str = "11111111-1111-4111-8111-111111111111";
const CLAIM: &str = r#"> POST /rest/v1/rpc/claim_next_job {"p_limit":10}"#;

/// How a drain settles first: one outcome by the function that is known for it, or, where something falls due, with a
/// claim. After that always by `exchange_jobs`, without one.
#[derive(Clone, Copy, PartialEq)]
enum First {
    Alone,
    Exchange,
}

const BOTH: [First; 2] = [First::Alone, First::Exchange];

/// The work of which an outcome comes: a stored picture, and a park after a create. The lines before the settle, the
/// outcome, and the figures it counts in.
fn works(first: First) -> [(String, String, &'static str); 2] {
    // It falls due while the work is done, which takes a second.
    let (next, after) = if first == First::Exchange { ("1", "after 1s ") } else { ("null", "") };
    let claimed = |job: &str| format!("drain\n{CLAIM}\n< 200 [{{\"seconds_until_next\":{next},{job}]\n");
    let stored = claimed(
        r#""job_type":"download-image","payload":{"generation_id":"gen-1","user_id":"user-1","output_url":"https://replicate.delivery/out-0.png"}}"#,
    ) + "> GET https://replicate.delivery/out-0.png\n< "
        + after
        + r#"200 content-type=image/png file picture.png
        > POST /storage/v1/object/generated-images/user-1/gen-1.png a stream of 7813 bytes
        < 200 {"Key":"generated-images/user-1/gen-1.png"}
    "#;
    let completed = outcome(
        r#""outcome":"completed","result":{"filename":"gen-1.png","storage_path":"user-1/gen-1.png","public_url":"https://ref.supabase.co/storage/v1/object/public/generated-images/user-1/gen-1.png","file_size":7813,"width":64,"height":48,"format":"png"},"follow_ups":[]"#,
    );
    let created = claimed(
        r#""job_type":"generate-image","payload":{"generation_id":"gen-1","user_id":"user-1","prompt":"a red fox","model_id":"black-forest-labs/flux-schnell","width":1024,"height":1024,"num_inference_steps":4,"guidance_scale":7.5}}"#,
    ) + r#"
        > POST replicate:/predictions {"version":"black-forest-labs/flux-schnell","input":{"prompt":"a red fox","aspect_ratio":"1:1","megapixels":"1","num_inference_steps":4,"seed":1754394129}}
        < "#
        + after
        + r#"201 {"id":"p1","status":"starting"}
    "#;
    let parked = outcome(
        r#""outcome":"snoozed","delay_seconds":2.0,"checkpoint":{"prediction_id":"p1","attempt_number":1,"sent":{"model":"black-forest-labs/flux-schnell","input":{"prompt":"a red fox","aspect_ratio":"1:1","megapixels":"1","num_inference_steps":4,"seed":1754394129},"adjustments":["width 1024 x height 1024 -> aspect_ratio 1:1, megapixels 1","guidance_scale 7.5 dropped: the model has no known field for it"]}}"#,
    );
    [(stored, completed, "processed"), (created, parked, "snoozed")]
}

fn outcome(fields: &str) -> String {
    format!(r#"{{"job_id":"{JOB}","lease_token":"22222222-2222-4222-8222-222222222222",{fields}}}"#)
}

/// The first settle: its request.
fn first(how: First, outcome: &str) -> String {
    if how == First::Exchange {
        let named = r#""p_limit":10,"p_lease_token":"00000000-0000-4000-8000-000000000002""#;
        return format!(r#"> POST /rest/v1/rpc/exchange_jobs {{"p_outcomes":[{outcome}],{named}}}"#) + "\n";
    }
    let outcome: serde_json::Value = serde_json::from_str(outcome).unwrap();
    let mut arguments = serde_json::Map::new();
    for (name, value) in outcome.as_object().unwrap() {
        if name != "outcome" {
            arguments.insert(format!("p_{name}"), value.clone());
        }
    }
    let function = if outcome["outcome"] == "completed" { "complete_job" } else { "snooze_job" };
    format!("> POST /rest/v1/rpc/{function} {}\n", serde_json::Value::from(arguments))
}

fn again(outcome: &str) -> String {
    format!(r#"> POST /rest/v1/rpc/exchange_jobs {{"p_outcomes":[{outcome}]}}"#) + "\n"
}

fn settled(answer: &str) -> String {
    format!("< 200 {{\"settled\":[{answer}],\"jobs\":[],\"seconds_until_next\":null}}\n")
}

/// A claim of this name.
fn claim(name: u32) -> String {
    let named = format!(r#""p_limit":10,"p_lease_token":"00000000-0000-4000-8000-{name:012}""#);
    format!("> POST /rest/v1/rpc/claim_next_job {{{named}}}\n")
}

/// The claim that follows once the queue answers again. Its name is still that of an exchange that got no answer.
fn nothing_more(name: u32) -> String {
    claim(name) + "< 200 []\n> POST /rest/v1/rpc/seconds_until_next_job {}\n< 200 null\n"
}

/// How a drain ends that has counted this.
fn finished(counted: &str, milliseconds: u32, how: First) -> String {
    let milliseconds = milliseconds + if how == First::Exchange { 1000 } else { 0 };
    let of = |name: &str| u32::from(name == counted);
    let (processed, errors, snoozed) = (of("processed"), of("errors"), of("snoozed"));
    format!(
        "* drain finished: {processed} completed, {errors} error(s), {snoozed} snoozed in {milliseconds} ms\n\
         = {{\"processed\":{processed},\"errors\":{errors},\"snoozed\":{snoozed}}}\n"
    )
}

/// Runs a conversation and says what it was about where it goes otherwise.
fn check(what: &str, text: &str) {
    if std::panic::catch_unwind(|| run_text(text)).is_err() {
        panic!("with {what}, in\n{text}");
    }
}

#[test]
fn a_state_at_a_settle_is_waited_out() {
    for (state, how) in UNKNOWN.iter().chain(NOT_DONE).flat_map(|state| BOTH.map(|how| (state, how))) {
        for (work, outcome, counted) in works(how) {
            let again = again(&outcome);
            let text =
                work + &first(how, &outcome) + &format!("< {state}\n{again}< {state}\n{again}") + &settled("true");
            check(state, &(text + &nothing_more(2) + &finished(counted, 1250, how)));
        }
    }
}

#[test]
fn one_outcome_that_cannot_be_recorded_now_is_tried_again() {
    let how = First::Exchange;
    for state in AGAIN {
        for (work, outcome, counted) in works(how) {
            let again = again(&outcome);
            let text = work + &first(how, &outcome) + &settled(state) + &again + &settled(state) + &again;
            check(state, &(text + &settled("true") + &finished(counted, 1250, how)));
        }
    }
}

/// "Not ours any more" means that the try before was recorded, but only where that may be.
#[test]
fn not_ours_any_more_is_a_yes_only_where_the_last_try_may_have_been_one() {
    for how in BOTH {
        for (work, outcome, counted) in works(how) {
            let (first, again) = (first(how, &outcome), again(&outcome));
            for state in UNKNOWN {
                let text = work.clone() + &first + &format!("< {state}\n{again}") + &settled("false");
                check(state, &(text + &nothing_more(2) + &finished(counted, 250, how)));
            }
            let job_type = if counted == "processed" { "download-image" } else { "generate-image" };
            let stale = format!("* {job_type} {JOB}: not ours any more, outcome dropped\n");
            for state in NOT_DONE {
                let text = work.clone() + &first + &format!("< {state}\n{again}") + &settled("false") + &stale;
                check(state, &(text + &nothing_more(2) + &finished("nothing", 250, how)));
            }
            for state in AGAIN.iter().filter(|_| how == First::Exchange) {
                let text = work.clone() + &first + &settled(state) + &again + &settled("false") + &stale;
                check(state, &(text + &finished("nothing", 250, how)));
            }
        }
    }
}

/// A call that is refused is no verdict on what it carried beside a claim; carried alone, it is.
#[test]
fn what_cannot_be_recorded_as_it_is_fails_its_job() {
    for (refusal, how) in REFUSALS.iter().flat_map(|refusal| BOTH.map(|how| (refusal, how))) {
        let [(work, outcome, _), _] = works(how);
        let message = refusal.split('"').nth(7).unwrap();
        let failed = format!(
            r#""outcome":"failed","error":"the outcome was refused: {message}","error_kind":"settle_refused","retry":"never""#
        );
        // With what it came to, unless that is what cannot be recorded.
        let completion = outcome.split_once(r#""outcome":"completed","#).unwrap().1.trim_end_matches('}');
        let kept = again(&self::outcome(&format!(r#"{failed},"unrecorded":{{{completion}}}"#)));
        let failed = again(&self::outcome(&failed));
        let event =
            format!("* download-image {JOB}: attempt 1 of 3 failed (settle_refused): the outcome was refused\n");
        let alone = if how == First::Alone { String::new() } else { format!("{}< {refusal}\n", again(&outcome)) };
        let more = if how == First::Alone { String::new() } else { nothing_more(2) };
        let text = work.clone() + &first(how, &outcome) + &format!("< {refusal}\n") + &alone;
        let end = settled("true") + &event + &more + &finished("errors", 0, how);
        check(refusal, &(text.clone() + &kept + &end));
        check(refusal, &(text + &kept + &format!("< {refusal}\n") + &failed + &end));

        if how == First::Exchange {
            let text = work + &first(how, &outcome) + &format!("< {refusal}\n{}", again(&outcome)) + &settled("true");
            check(refusal, &(text + &more + &finished("processed", 0, how)));
        }
    }
}

/// A queue that cannot be asked ends the drain, with a sentence; it is not an empty one. So it is with a key that is
/// refused for good, whose sentence says where to look. Before that, what may have been carried out is asked for again.
#[test]
fn a_state_at_a_claim_ends_the_drain() {
    for state in not_done() {
        check(state, &format!("drain\n{}< {state}\n{}", claim(1), failed_with(state)));
    }
    for state in unknown() {
        let met = claim(1) + &format!("< {state}\n");
        check(state, &format!("drain\n{}{}", met.repeat(4), failed_with(state)));
    }
}

/// What a claim may have got is not left to its lease: it is asked for by the claim's name, whatever is said in between.
#[test]
fn a_claim_that_may_be_carried_out_is_asked_for_again() {
    for (first, second) in unknown().map(|state| (state, UNDER_WAY)).chain(not_done().map(|state| ("lost", state))) {
        let text = format!("drain\n{}< {first}\n{}< {second}\n", claim(1), claim(1)) + &nothing_more(1);
        check(&format!("{first}, then {second}"), &(text + &finished("nothing", 1250, First::Alone)));
    }
}

/// A settle whose answer was lost has claimed nothing, and an exchange has.
#[test]
fn only_a_call_that_was_to_claim_may_have_claimed() {
    for how in BOTH {
        let [(work, outcome, counted), _] = works(how);
        let text = work + &first(how, &outcome) + "< lost\n" + &again(&outcome) + &settled("true");
        let text = text + &claim(2) + &format!("< {UNDER_WAY}\n");
        let end = match how {
            First::Alone => failed_with(UNDER_WAY),
            First::Exchange => nothing_more(2) + &finished(counted, 500, how),
        };
        check("lost", &(text + &end));
    }
}

/// What is said while the first call of a claim's name is still carried out.
const UNDER_WAY: &str = r#"500 {"code":"55P03","message":"could not obtain lock"}"#;

/// What may be said to a claim that nobody can say the effect of. Rows that do not fit are left to their leases.
fn unknown() -> impl Iterator<Item = &'static str> {
    UNKNOWN.iter().copied().filter(|state| *state != "200 [true]")
}

/// What may be said to a claim that was not carried out, but for a token that is not valid yet.
fn not_done() -> impl Iterator<Item = &'static str> {
    NOT_DONE.iter().copied().filter(|state| !state.starts_with("401 {\"code\":\"PGRST3"))
}

/// A key's token that is not valid yet is, a second or two later; a key that never is, ends the drain.
#[test]
fn a_token_that_is_not_valid_yet_is_waited_for() {
    let state = r#"401 {"code":"PGRST303","message":"JWT issued at future"}"#;
    let met = claim(1) + &format!("< {state}\n");
    for (times, milliseconds) in [(1, 250), (2, 1250), (3, 4250)] {
        let text = format!("drain\n{}", met.repeat(times)) + &nothing_more(1);
        check(state, &(text + &finished("nothing", milliseconds, First::Alone)));
    }
    check(state, &(format!("drain\n{}", met.repeat(4)) + &failed_with(state)));
}

/// How a drain ends whose last claim was answered so.
fn failed_with(state: &str) -> String {
    let error = sentence_of(state);
    format!("* drain failed: {error}\n= {{\"error\":{}}}\n", quoted(&error))
}

fn sentence_of(state: &str) -> String {
    let (status, body) = state.split_once(' ').unwrap_or((state, ""));
    if state == "lost" {
        return "claim_next_job: database did not answer: TypeError: connection lost".to_owned();
    }
    if status.starts_with('2') {
        let found = if matches!(body, "" | "<html>soon back</html>") { "no JSON" } else { "no rows" };
        return format!("claim_next_job: database gave an answer that does not fit: {found}");
    }
    let json = serde_json::from_str::<serde_json::Value>(body).unwrap_or_default();
    let said = match json["message"].as_str().unwrap_or(body) {
        "" => "no body",
        said => said,
    };
    let hint = match status {
        "401" | "403" => "; the secret key is refused: see SUPABASE_SECRET_KEYS, else SUPABASE_SERVICE_ROLE_KEY",
        _ if json["code"] == "PGRST202" => {
            "; the database is of another version, and this function process-jobs VERSION: \
             apply its migration (supabase db push --remote)"
        }
        _ => "",
    };
    format!("claim_next_job: database answered {status}: {said}{hint}")
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

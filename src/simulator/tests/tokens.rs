//! Bearers over HTTP: where they come from, where they count, how they end.

use serde_json::{Value, json};

use super::lab::{Lab, json, message, sign};
use super::*;

const SEARCH: &str = "/messaging_history/api/account/40112233/conversations/search?source=LP_Test";
const TOKEN: &str = "/sentinel/api/v2/account/40112233/app/token";

fn any_start(lab: &Lab) -> Value {
    let now_ms = lab.simulator.now_ms();
    json!({ "start": { "from": now_ms - 86_400_000, "to": now_ms } })
}

async fn client_token(lab: &Lab) -> Value {
    let url = format!("{}{TOKEN}", lab.simulator.base_url());
    let form = "client_id=demo-client-id&client_secret=demo-client-secret&grant_type=client_credentials";
    let request = lab.client.post(url).header("Content-Type", "application/x-www-form-urlencoded").body(form);
    json(request.send().await.unwrap()).await
}

#[tokio::test]
async fn a_client_token_opens_the_history_apis_and_nothing_else() {
    let lab = Lab::with_rules(vec![Rule::once(Target::Token, Fault::WithoutExpiresIn)]).await;
    let body = any_start(&lab);
    let without = client_token(&lab).await;
    assert!(without.get("expires_in").is_none());
    let token = client_token(&lab).await;
    assert_eq!(token["expires_in"], 3_600);
    for token in [&without, &token] {
        let bearer = token["access_token"].as_str().unwrap();
        assert_eq!(lab.post_as(bearer, SEARCH, &body).await.status(), 200);
    }
    let bearer = token["access_token"].as_str().unwrap();
    let files = format!("{}/data_access_le/account/40112233/le", lab.simulator.base_url());
    let refused = lab.client.get(files).header("Authorization", format!("Bearer {bearer}")).send().await.unwrap();
    assert_eq!(refused.status(), 401);
    lab.simulator.expire_tokens();
    let (status, text) = message(lab.post_as(bearer, SEARCH, &body).await).await;
    assert!(status == 401 && text.contains("revoked"), "{text}");
    assert_eq!(lab.simulator.requests().refused, 2);
    assert_eq!(lab.simulator.requests().token, 2);
}

#[tokio::test]
async fn tokens_end_by_themselves_and_by_script() {
    let script = Script {
        rules: vec![Rule { skip: 1, ..Rule::once(Target::MessagingSearch, Fault::ExpireTokens) }],
        late: Vec::new(),
    };
    let lab = Lab::new(SimulatorConfig { world: small(10), script, ..SimulatorConfig::default() }).await;
    let body = any_start(&lab);
    let token = client_token(&lab).await;
    let bearer = token["access_token"].as_str().unwrap();
    assert_eq!(lab.post_as(bearer, SEARCH, &body).await.status(), 200);
    assert_eq!(lab.post_as(bearer, SEARCH, &body).await.status(), 401);
    assert_eq!(lab.post_as(bearer, SEARCH, &body).await.status(), 401);
    let next = client_token(&lab).await;
    assert_eq!(lab.post_as(next["access_token"].as_str().unwrap(), SEARCH, &body).await.status(), 200);
    let short = TokenConfig { token_life_s: 0, ..TokenConfig::default() };
    let lab = Lab::new(SimulatorConfig { world: small(10), tokens: short, ..SimulatorConfig::default() }).await;
    let token = client_token(&lab).await;
    let (status, text) = message(lab.post_as(token["access_token"].as_str().unwrap(), SEARCH, &body).await).await;
    assert!(status == 401 && text.contains("expired"), "{text}");
}

#[tokio::test]
async fn a_user_logs_in_refreshes_and_logs_out() {
    let lab = Lab::with_rules(Vec::new()).await;
    let base = lab.simulator.base_url();
    let send = async |path: &str, cookie: &str, body: Value| {
        let request = lab.client.post(format!("{base}/api/account/{path}")).header("Cookie", cookie.to_owned());
        request.body(body.to_string()).send().await.unwrap()
    };
    let user = json!({ "username": "demo-user", "password": "demo-password" });
    let login = send("40112233/login?v=1.3", "", user.clone()).await;
    let cookie = login.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let login = json(login).await;
    assert_eq!(login["sessionTTl"], "28800000");
    let services = login["csdsCollectionResponse"]["baseURIs"].as_array().unwrap();
    assert!(services.iter().any(|service| service["service"] == "msgHist"));
    let bearer = login["bearer"].as_str().unwrap();
    let body = any_start(&lab);
    assert_eq!(lab.post_as(bearer, SEARCH, &body).await.status(), 200);
    let csrf = json!({ "csrf": login["csrf"] });
    let refreshed = send("40112233/refresh", &cookie, csrf.clone()).await;
    assert_eq!(refreshed.status(), 200);
    assert!(refreshed.bytes().await.unwrap().is_empty());
    let wrong = json(send("40112233/refresh", &cookie, json!({ "csrf": "x" })).await).await;
    assert_eq!(wrong["error"]["internalCode"], 10);
    assert_eq!(send("40112233/refresh", "", csrf.clone()).await.status(), 401);
    assert_eq!(send("40112233/logout", &cookie, csrf).await.status(), 200);
    assert_eq!(lab.post_as(bearer, SEARCH, &body).await.status(), 401);
    let key = json!({
        "username": "demo-user", "appKey": "demo-client-id", "secret": "demo-client-secret",
        "accessToken": "filler", "accessTokenSecret": "filler",
    });
    assert_eq!(send("40112233/login?v=1.3", "", key).await.status(), 200);
    let wrong = json!({ "username": "demo-user", "password": "x" });
    assert_eq!(send("40112233/login?v=1.3", "", wrong).await.status(), 401);
    assert_eq!(send("40112233/login", "", user.clone()).await.status(), 400);
    assert_eq!(send("999/login?v=1.3", "", user).await.status(), 401);
}

#[tokio::test]
async fn a_signed_post_leaves_the_body_out() {
    let lab = Lab::with_rules(Vec::new()).await;
    assert_eq!(lab.post(SEARCH, &any_start(&lab)).await.status(), 200);
    let url = format!("{}{SEARCH}", lab.simulator.base_url());
    let as_get = sign("GET", &url, "signed as another method");
    let body = any_start(&lab).to_string();
    let refused = lab.client.post(&url).header("Authorization", as_get).body(body).send().await.unwrap();
    assert!(message(refused).await.1.contains("oauth_signature"));
    assert_eq!(lab.get(&url).await.status(), 405);
    assert_eq!(lab.post(&SEARCH.replace("40112233", "40112234"), &any_start(&lab)).await.status(), 403);
    let long = json!({ "x": "y".repeat(300 * 1024) });
    assert_eq!(lab.post(SEARCH, &long).await.status(), 413);
}

//! The client against small servers on loopback: redirects, signatures, broken and silent connections, clocks.

use std::sync::Arc;
use std::sync::Mutex;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::auth::Secret;
use super::*;

fn keys() -> OAuth1Keys {
    let secret = |text: &str| Secret::new(text);
    OAuth1Keys {
        app_key: secret("the-app-key"),
        app_secret: secret("the-app-secret"),
        access_token: secret("the-token"),
        access_token_secret: secret("the-token-secret"),
    }
}

fn http(allowed: &[&Url], no_progress_ms: u64) -> Http {
    let rule = HostRule::new(allowed.iter().copied()).unwrap();
    Http::new(rule, keys(), Pace::new(10_000.0, 4).unwrap(), Duration::from_millis(no_progress_ms)).unwrap()
}

fn get(url: &Url) -> ApiRequest {
    ApiRequest { url: url.clone(), accept: "application/json", json: None }
}

/// Serves `answer` for every path; gives the base URL and the `Authorization` values received.
async fn serve<F, R>(answer: F) -> (Url, Arc<Mutex<Vec<String>>>)
where
    F: Fn(Request) -> R + Clone + Send + Sync + 'static,
    R: IntoResponse,
{
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let router = Router::new().fallback(move |request: Request| {
        let authorization = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        log.lock().unwrap().push(authorization.unwrap_or_default());
        let response = answer(request).into_response();
        async { response }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, seen)
}

/// Sends `bytes` to whoever connects, then does nothing for ever.
async fn serve_raw(bytes: &'static [u8]) -> Url {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).await;
            socket.write_all(bytes).await.unwrap();
            held.push(socket);
        }
    });
    url
}

fn kind<T>(outcome: Result<T, Fault>) -> (ProblemKind, String) {
    match outcome {
        Err(Fault::Answer { kind, reason, .. }) => (kind, reason),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("no fault"),
    }
}

#[tokio::test]
async fn a_redirect_is_signed_again_for_the_new_host() {
    let (second, second_seen) = serve(|_| "done").await;
    let target = second.join("elsewhere?v=1").unwrap();
    let (first, first_seen) = serve({
        let target = target.clone();
        move |_| (StatusCode::FOUND, [("location", target.to_string())])
    })
    .await;
    let http = http(&[&first, &second], 5000);
    let reply = http.send(&get(&first)).await.unwrap();
    assert_eq!((reply.status(), reply.url.clone()), (200, target));
    let (first_seen, second_seen) = (first_seen.lock().unwrap()[0].clone(), second_seen.lock().unwrap()[0].clone());
    assert!(first_seen.starts_with("OAuth oauth_consumer_key=\"the-app-key\""), "{first_seen}");
    assert_ne!(first_seen, second_seen);
    assert_eq!(http.requests(), 2);
}

#[tokio::test]
async fn a_redirect_to_a_foreign_host_is_not_followed() {
    let (foreign, foreign_seen) = serve(|_| "caught").await;
    let (first, _) = serve({
        let foreign = foreign.to_string();
        move |_| (StatusCode::MOVED_PERMANENTLY, [("location", foreign.clone())])
    })
    .await;
    let (kind, reason) = kind(http(&[&first], 5000).send(&get(&first)).await);
    assert_eq!(kind, ProblemKind::RefusedHost);
    assert!(reason.contains("127.0.0.1"), "{reason}");
    assert!(foreign_seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn redirects_end_after_five() {
    let (url, seen) = serve(|_| (StatusCode::TEMPORARY_REDIRECT, [("location", "/again")])).await;
    assert_eq!(kind(http(&[&url], 5000).send(&get(&url)).await).0, ProblemKind::Redirect);
    assert_eq!(seen.lock().unwrap().len(), 6);
    let nonces: std::collections::HashSet<String> = seen.lock().unwrap().iter().cloned().collect();
    assert_eq!(nonces.len(), 6, "each request has a signature of its own");

    let (nowhere, _) = serve(|_| StatusCode::FOUND).await;
    assert_eq!(kind(http(&[&nowhere], 5000).send(&get(&nowhere)).await).0, ProblemKind::Redirect);
}

#[tokio::test]
async fn headers_are_the_documented_ones() {
    let (url, _) = serve(|request: Request| {
        let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        format!("{:?} {:?} {:?}", header("accept"), header("user-agent"), header("accept-encoding"))
    })
    .await;
    let http = http(&[&url], 5000);
    let answer = http.send(&get(&url)).await.unwrap().into_answer(1000).await.unwrap();
    let expected = format!("{:?} {:?} None", Some("application/json"), Some(USER_AGENT));
    assert_eq!(String::from_utf8(answer.body).unwrap(), expected);
    let post = ApiRequest { json: Some("{}".into()), ..get(&url) };
    assert_eq!(http.send(&post).await.unwrap().status(), 200);
}

#[tokio::test]
async fn unsigned_requests_carry_no_keys() {
    let (url, seen) = serve(|_| "x").await;
    http(&[&url], 5000).send_unsigned(&get(&url)).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [""]);
}

#[tokio::test]
async fn silence_and_broken_connections_have_their_kinds() {
    let silent = serve_raw(b"").await;
    assert_eq!(kind(http(&[&silent], 50).send(&get(&silent)).await).0, ProblemKind::NoProgress);

    let stalls = serve_raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
    let reply = http(&[&stalls], 50).send(&get(&stalls)).await.unwrap();
    assert_eq!(reply.content_length(), Some(10));
    assert_eq!(kind(reply.into_answer(1000).await).0, ProblemKind::NoProgress);

    let nonsense = serve_raw(b"220 smtp ready\r\n\r\n").await;
    assert_eq!(kind(http(&[&nonsense], 5000).send(&get(&nonsense)).await).0, ProblemKind::Network);

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = Url::parse(&format!("http://{}/path?secret=hush", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let (kind, reason) = kind(http(&[&closed], 5000).send(&get(&closed)).await);
    assert_eq!(kind, ProblemKind::Network);
    assert!(reason.starts_with("no connection") && !reason.contains("hush"), "{reason}");
}

#[tokio::test]
async fn a_listing_has_a_limit() {
    let (url, _) = serve(|_| vec![b'x'; 5000]).await;
    let http = http(&[&url], 5000);
    let reply = http.send(&get(&url)).await.unwrap();
    assert_eq!(kind(reply.into_answer(4999).await).0, ProblemKind::TooLarge);
    assert_eq!(http.send(&get(&url)).await.unwrap().into_answer(5000).await.unwrap().body.len(), 5000);
}

#[tokio::test]
async fn the_servers_clock_and_retry_after_are_read() {
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let (url, _) = serve(move |request: Request| {
        let wait = if request.uri().path() == "/date" { "Sun, 06 Nov 1994 08:51:37 GMT" } else { "7" };
        (StatusCode::TOO_MANY_REQUESTS, [("date", date), ("retry-after", wait)])
    })
    .await;
    let http = http(&[&url], 5000);
    let reply = http.send(&get(&url)).await.unwrap();
    assert_eq!(reply.retry_after(), Some(Duration::from_secs(7)));
    let offset_ms = reply.clock_offset_ms.unwrap();
    assert!((offset_ms - (784_111_777_000 - Clock::System.now_ms())).abs() < 60_000, "{offset_ms}");
    assert_eq!(http.clock_offset_ms(), Some(offset_ms));
    let reply = http.send(&get(&url.join("date").unwrap())).await.unwrap();
    assert_eq!(reply.retry_after(), Some(Duration::from_secs(120)));
}

#[test]
fn printable_addresses_hold_no_secrets() {
    for (url, expected) in [
        ("https://va.da.liveperson.net/f.gz", "https://va.da.liveperson.net/f.gz"),
        (
            "https://u:p@h.liveperson.net/f?startTime=1&sig=abc#x",
            "https://h.liveperson.net/f?startTime=1&sig=%5Bremoved%5D",
        ),
    ] {
        assert_eq!(printable(&Url::parse(url).unwrap()), expected);
    }
}

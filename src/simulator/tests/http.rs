//! The server: signed requests over real HTTP, listings, downloads and each fault.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::lab::{LISTING, Lab, json, message, sign};
use super::*;

#[tokio::test]
async fn every_listed_file_downloads_from_the_other_port() {
    let lab = Lab::with_rules(Vec::new()).await;
    let listing = json(lab.list_all().await).await;
    let files = listing["dataAccessFiles"]["file"].as_array().unwrap().clone();
    let expected: Vec<FileSpec> = lab.simulator.world().files().collect();
    assert_eq!(files.len(), expected.len());
    assert!(files.iter().any(|file| !file["@name"].as_str().unwrap().ends_with(".gz")));
    for (entry, file) in files.iter().zip(&expected) {
        let href = entry["@href"].as_str().unwrap();
        assert!(href.starts_with(&lab.simulator.download_base_url()));
        let response = lab.get(href).await;
        let bytes = lab.bytes_of(file);
        assert_eq!(response.content_length(), Some(bytes.len() as u64));
        assert_eq!(response.bytes().await.unwrap(), bytes);
    }
    assert_ne!(lab.simulator.base_url(), lab.simulator.download_base_url());
    let counts = lab.simulator.requests();
    assert_eq!((counts.listing, counts.download), (1, expected.len() as u64));
    lab.simulator.shutdown().await;
}

#[tokio::test]
async fn the_domain_api_answers_without_a_signature() {
    let lab = Lab::with_rules(vec![Rule { skip: 1, ..Rule::once(Target::Domain, Fault::DomainList) }]).await;
    let base = lab.simulator.base_url();
    let get = async |path: &str| {
        let url = format!("{base}/api/account/{path}baseURI.json?version=1.0");
        lab.client.get(url).send().await.unwrap()
    };
    let single = json(get("40112233/service/msgHist/").await).await;
    assert_eq!(format!("http://{}", single["baseURI"].as_str().unwrap()), base);
    let listed = json(get("40112233/service/msgHist/").await).await;
    assert_eq!(listed["baseURIs"][0]["service"], "msgHist");
    let all = json(get("40112233/service/").await).await;
    assert!(all["baseURIs"].as_array().unwrap().len() > 5);
    assert_eq!(get("999/service/msgHist/").await.status(), 401);
    assert_eq!(get("40112233/service/msghist/").await.status(), 404);
}

#[tokio::test]
async fn signatures_are_really_checked() {
    let lab = Lab::with_rules(Vec::new()).await;
    let url = format!("{}/data_access_le/account/40112233/le", lab.simulator.base_url());
    let unsigned = lab.client.get(&url).send().await.unwrap();
    let (status, text) = message(unsigned).await;
    assert!(status == 401 && text.contains("no OAuth Authorization header"), "{text}");
    let header = sign("GET", &url, "the same nonce");
    let send = async || lab.client.get(&url).header("Authorization", &header).send().await.unwrap();
    assert_eq!(json(send().await).await["le"]["@accountId"], "40112233");
    assert!(message(send().await).await.1.contains("nonce"));
    let other_host = sign("GET", &url.replace("127.0.0.1", "localhost"), "n2");
    let refused = lab.client.get(&url).header("Authorization", other_host).send().await.unwrap();
    assert!(message(refused).await.1.contains("oauth_signature"));
    let other_account = lab.get(&url.replace("40112233", "40112234")).await;
    assert_eq!(other_account.status(), 403);
    assert_eq!(lab.simulator.requests().refused, 3);
}

#[tokio::test]
async fn ranges_choose_files_by_the_start_of_their_window() {
    let lab = Lab::with_rules(Vec::new()).await;
    let files: Vec<FileSpec> = lab.simulator.world().files().collect();
    let alone = |file: &&FileSpec| files.iter().filter(|other| other.start_ms == file.start_ms).count() == 1;
    let file = files.iter().find(alone).unwrap();
    let single = json(lab.list(file.start_ms, file.start_ms + 1).await).await;
    assert!(single["dataAccessFiles"]["file"].is_object());
    let (status, text) = message(lab.list(file.start_ms + 1, file.start_ms + 2).await).await;
    assert_eq!((status, text.as_str()), (404, "No Available Files"));
    let base = lab.simulator.base_url();
    for query in ["", "?startTime=1", "?startTime=a&endTime=2", "?startTime=5&endTime=2"] {
        assert_eq!(lab.get(&format!("{base}{LISTING}{query}")).await.status(), 400, "{query}");
    }
    let schema = format!("{base}/data_access_le/account/40112233/le/schema");
    assert_eq!(lab.get(&format!("{schema}?schemaId=latest")).await.status(), 200);
    assert_eq!(lab.get(&schema).await.status(), 400);
}

#[tokio::test]
async fn the_clock_decides_what_exists() {
    let lab = Lab::with_rules(Vec::new()).await;
    let (first, url) = lab.first_file();
    lab.simulator.set_now_ms(first.end_ms);
    assert_eq!(lab.list_all().await.status(), 404);
    assert_eq!(lab.get(&url).await.status(), 404);
    lab.simulator.set_now_ms(first.end_ms + 300_000);
    assert_eq!(lab.list_all().await.status(), 200);
    assert_eq!(lab.get(&url).await.status(), 200);
    lab.simulator.set_now_ms(first.end_ms + 300_000 + RETENTION_MS);
    assert_eq!(lab.get(&url).await.status(), 404);
}

#[tokio::test]
async fn late_files_appear_after_some_listings() {
    let script = Script::by_name("late").unwrap();
    let world = small(300);
    let lab = Lab::new(SimulatorConfig { world, script, ..SimulatorConfig::default() }).await;
    let mut sizes = Vec::new();
    for _ in 0..4 {
        let listing = json(lab.list_all().await).await;
        sizes.push(listing["dataAccessFiles"]["file"].as_array().unwrap().len());
    }
    assert_eq!(sizes[0], sizes[2]);
    assert!(sizes[3] > sizes[0]);
    assert_eq!(sizes[3], lab.simulator.world().files().count());
}

#[tokio::test]
async fn damaged_downloads_are_damaged_as_ordered() {
    let any = || Target::Download(String::new());
    let faults = [
        Fault::Status(503),
        Fault::Html200,
        Fault::Xml200,
        Fault::EmptyFile,
        Fault::TruncatedGzip,
        Fault::CorruptGzip,
        Fault::CutBody,
        Fault::WrongLength,
        Fault::Stall(Duration::from_millis(60)),
    ];
    let rules =
        faults.iter().enumerate().map(|(place, fault)| Rule { skip: place as u64, ..Rule::once(any(), fault.clone()) });
    let lab = Lab::with_rules(rules.collect()).await;
    let (file, url) = lab.first_file();
    let whole = lab.bytes_of(&file);
    assert_eq!(lab.get(&url).await.status(), 503);
    assert!(lab.get(&url).await.text().await.unwrap().starts_with("<!DOCTYPE html>"));
    assert!(lab.get(&url).await.text().await.unwrap().starts_with("<?xml"));
    assert!(lab.get(&url).await.bytes().await.unwrap().is_empty());
    assert_eq!(lab.get(&url).await.bytes().await.unwrap(), whole[..whole.len() / 2]);
    let corrupt = lab.get(&url).await.bytes().await.unwrap();
    assert_eq!(corrupt.iter().zip(&whole).filter(|(left, right)| left != right).count(), 1);
    for promised in [whole.len(), whole.len() + 100] {
        let broken = lab.get(&url).await;
        assert_eq!(broken.content_length(), Some(promised as u64));
        assert!(broken.bytes().await.is_err());
    }
    let started = Instant::now();
    assert_eq!(lab.get(&url).await.bytes().await.unwrap(), whole);
    assert!(started.elapsed() >= Duration::from_millis(60));
    assert_eq!(lab.get(&url).await.bytes().await.unwrap(), whole);
}

#[tokio::test]
async fn malicious_listings_name_what_was_ordered() {
    let evil = "../../etc/evil.gz";
    let foreign = "http://192.0.2.1/x.gz";
    let listing = Target::Listing;
    let lab = Lab::with_rules(vec![
        Rule::always(listing.clone(), Fault::EvilName(evil.to_owned())),
        Rule::always(listing.clone(), Fault::EvilName("a\0b".to_owned())),
        Rule::always(listing.clone(), Fault::ForeignHost(foreign.to_owned())),
        Rule::always(listing, Fault::OtherAccount("77".to_owned())),
    ])
    .await;
    let body = json(lab.list_all().await).await;
    assert_eq!(body["dataAccessFiles"]["@id"], "77");
    let files = body["dataAccessFiles"]["file"].as_array().unwrap();
    let entry = files.iter().find(|file| file["@name"] == evil).unwrap();
    assert_eq!(lab.get(entry["@href"].as_str().unwrap()).await.status(), 200);
    assert!(files.iter().any(|file| file["@href"] == foreign));
    assert!(files.iter().any(|file| file["@name"] == "a\0b"));
}

#[tokio::test]
async fn listings_can_be_cut_delayed_and_limited() {
    let lab = Lab::with_rules(vec![
        Rule::once(Target::Listing, Fault::TruncatedJson),
        Rule { skip: 1, ..Rule::once(Target::Listing, Fault::Delay(Duration::from_millis(50))) },
    ])
    .await;
    let cut = lab.list_all().await.bytes().await.unwrap();
    assert!(serde_json::from_slice::<Value>(&cut).is_err());
    let started = Instant::now();
    assert_eq!(lab.list_all().await.status(), 200);
    assert!(started.elapsed() >= Duration::from_millis(50));
    let limited = SimulatorConfig { world: small(10), rate_limit_per_second: Some(2), ..SimulatorConfig::default() };
    let lab = Lab::new(limited).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(lab.list_all().await.status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 429]);
}

#[tokio::test]
async fn large_files_are_streamed_and_have_the_same_bytes() {
    let lab = Lab::new(SimulatorConfig { world: small(300), records_in_memory: 0, ..SimulatorConfig::default() }).await;
    let (file, url) = lab.first_file();
    let response = lab.get(&url).await;
    assert_eq!(response.content_length(), None);
    assert_eq!(response.bytes().await.unwrap(), lab.bytes_of(&file));
}

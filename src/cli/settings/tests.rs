//! Tests of the settings: precedence, secrets, sizes, and what cannot be right.

use super::*;

fn read(text: &str) -> Result<Settings, Failure> {
    Settings::of_table(&text.parse().expect("valid TOML"), &|_| None)
}

#[test]
fn the_template_is_read_back() {
    let settings = read(&template("40112233", "lo")).expect("valid settings");
    assert_eq!((settings.account_id.as_str(), settings.region.as_str()), ("40112233", "lo"));
    assert_eq!(settings.start, Duration::from_secs(30 * 86_400));
    assert_eq!((settings.seal_after, settings.relist), (Duration::from_secs(8 * 3600), Duration::from_secs(48 * 3600)));
    assert_eq!(settings.streams.iter().filter(|(_, mode)| mode == "on").count(), 1);
    assert_eq!(settings.limits, read("[account]\nid=\"1\"").expect("valid settings").limits, "it shows the defaults");
}

#[test]
fn the_environment_wins_over_the_file() {
    let table: Table = template("1", "va").parse().expect("valid TOML");
    let environment = |name: &str| (name == "CHATVAULT_CONNECTIONS").then(|| "9".to_owned());
    let settings = Settings::of_table(&table, &environment).expect("valid settings");
    assert_eq!(settings.connections, 9);
    let environment = |name: &str| (name == "CHATVAULT_MAX_RECORD_BYTES").then(|| "1MB".to_owned());
    let settings = Settings::of_table(&table, &environment).expect("valid settings");
    assert_eq!(settings.limits.max_record_bytes, 1_000_000);
    for (variable, value) in [
        ("CHATVAULT_MEMORY", "1"),
        ("CHATVAULT_MEMORY", "much"),
        ("CHATVAULT_START", "soon"),
        ("CHATVAULT_CONNECTIONS", "0"),
        ("CHATVAULT_CONNECTIONS", "x"),
    ] {
        let environment = |name: &str| (name == variable).then(|| value.to_owned());
        let failure = Settings::of_table(&table, &environment).expect_err(variable);
        let message = failure.in_file(Path::new("/vault/vault.toml")).message;
        assert!(message.starts_with(variable) && !message.contains("vault.toml"), "{message}");
    }
    let failure = read("[account]\nid=\"1\"\n[limits]\nmemory = \"1\"").expect_err("too little");
    let message = failure.in_file(Path::new("/vault/vault.toml")).message;
    assert!(message.starts_with("/vault/vault.toml: [limits] memory is 1;"), "{message}");
}

#[test]
fn what_is_spelt_wrong_is_named_with_its_neighbour() {
    let failure = read("[account]\nid=\"1\"\n[sync]\nconections = 3").expect_err("unknown key");
    assert!(failure.message.contains("[sync]: unknown key `conections`"), "{failure}");
    assert_eq!(failure.hints, ["did you mean `connections`?"]);
    let failure = read("[acount]\nid=\"1\"").expect_err("unknown section");
    assert_eq!(failure.hints, ["did you mean `account`?"]);
}

#[test]
fn bad_values_are_refused() {
    for text in [
        "[sync]\nstart=\"30d\"",
        "[account]\nid=\"1\"\n[sync]\nstart=\"soon\"",
        "[account]\nid=\"1\"\n[sync]\nstart=\"99999999999999d\"",
        "[account]\nid=\"1\"\n[sync]\nconnections=0",
        "[account]\nid=\"1\"\n[sync]\nrelist=48",
        "[account]\nid=\"1\"\n[sync]\nseal_after=\"late\"",
        "[account]\nid=\"1\"\n[streams]\n\"data-access/survey\"=true",
        "[account]\nid=\"1\"\n[endpoints]\ncsds=\"nonsense\"",
        "account=1",
        "[account]\nid=\"1\"\n[limits]\nmax_inflated_bytes=\"much\"",
        "[account]\nid=\"1\"\n[limits]\nmax_record_bytes=1",
        "[account]\nid=\"1\"\n[limits]\nmax_inflate_ratio=true",
    ] {
        assert_eq!(read(text).expect_err(text).exit, Exit::Usage);
    }
}

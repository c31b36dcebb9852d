use super::*;

const EXAMPLE: &str = include_str!("../../../../deploy/sluice.example.toml");

fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sluice.toml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn load_text(text: &str) -> Result<Config, ConfigError> {
    let (_folder, path) = written(text);
    load(&path, |_| None)
}

/// The example with a line changed.
fn changed(line: &str, to: &str) -> String {
    assert!(EXAMPLE.contains(line), "the example has no {line:?}");
    EXAMPLE.replacen(line, to, 1)
}

fn faults(text: &str) -> Vec<String> {
    match load_text(text) {
        Err(ConfigError::Invalid { faults, .. }) => faults.into_iter().map(|fault| fault.field).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_example_is_a_configuration() {
    let (folder, path) = written(EXAMPLE);
    let config = load(&path, |_| None).unwrap();
    assert!(config.chains.contains_key(&config.home));
    let lane = &config.chains[&config.home].lanes[0];
    assert!(lane.file.starts_with(folder.path()), "files are named relative to the configuration: {lane:?}");
    assert!(config.snapshots.is_absolute());
}

#[test]
fn the_environment_overrules_the_file() {
    let (_folder, path) = written(EXAMPLE);
    let variable = |name: &str| match name {
        "SLUICE_LISTEN" => Some("[::1]:99".to_owned()),
        "SLUICE_DATABASE_URL" => Some("postgres://else/where".to_owned()),
        "SLUICE_NAME" => Some("other".to_owned()),
        _ => None,
    };
    let config = load(&path, variable).unwrap();
    assert_eq!(config.http.listen.to_string(), "[::1]:99");
    assert_eq!(config.database.url.0, "postgres://else/where");
    assert_eq!(config.name, "other");
    let wrong = load(&path, |name| (name == "SLUICE_LISTEN").then(|| "here".into()));
    assert!(wrong.unwrap_err().to_string().contains("SLUICE_LISTEN: \"here\""));
}

#[test]
fn every_wrong_field_is_named() {
    assert_eq!(faults(&changed("name = \"node-a\"", "name = \"node a\"")), ["name"]);
    assert_eq!(faults(&changed("home = 8453", "home = 1")), ["home"]);
    assert_eq!(faults(&changed("names = [\"pay.", "names = [\"https://pay.")), ["http.names"]);
    assert_eq!(faults(&changed("url = \"postgres://", "url = \"mysql://")), ["database.url"]);
    let text = changed("home = 8453", "home = 1").replacen("name = \"node-a\"", "name = \"\"", 1);
    assert_eq!(faults(&text), ["name", "home"]);
    assert_eq!(faults(&changed("rpc = [\"https://", "rpc = [\"ftp://")), ["chains.8453.rpc"]);
    let same = changed("file = \"keys/lane-1.json\"", "file = \"keys/control.json\"");
    assert_eq!(faults(&same), ["chains.8453.lanes"]);
}

#[test]
fn a_malformed_field_is_named_with_its_line_and_without_its_value() {
    let text = changed("stream = 1", "stream = \"hunter2\"");
    let error = load_text(&text).unwrap_err();
    let ConfigError::Malformed { line, field, .. } = &error else { panic!("{error:?}") };
    assert_eq!(field, "stream");
    assert_eq!(*line, Some(EXAMPLE.lines().position(|l| l == "stream = 1").unwrap() + 1));

    let error = load_text(&changed("listen = ", "lisen = ")).unwrap_err().to_string();
    assert!(error.contains("http") && error.contains("lisen"), "{error}");
    let error = load_text(&EXAMPLE.replace("[chains.8453", "[chains.base")).unwrap_err().to_string();
    assert!(error.contains("\"base\" is no chain id"), "{error}");
    let error = load_text("name = ").unwrap_err().to_string();
    assert!(error.contains("TOML"), "{error}");
}

#[test]
fn secrets_are_not_shown() {
    let shown = |text: &str| format!("{:?}", Secret(text.into()));
    assert_eq!(shown("postgres://user:hunter2@db.example/name?password=x"), "postgres://db.example/…");
    assert_eq!(shown("https://rpc.example/v2/api-key"), "https://rpc.example/…");
    assert_eq!(shown("hunter2"), ":///…");
}

#[test]
fn a_campaign_may_have_terms_of_settlement_of_its_own() {
    let own = "[chains.8453.settlement.campaigns.01970000-0000-7000-8000-000000000000]\n\
               window_seconds = 600\nspend_limit_gwei = 5\nspend_period_seconds = 3600\n";
    let config = load_text(&format!("{EXAMPLE}\n{own}")).unwrap();
    let section = &config.chains[&config.home].settlement;
    let policy = section.policy();
    let campaign = sluice_core::ids::CampaignId("01970000-0000-7000-8000-000000000000".parse().unwrap());
    let terms = policy.of(campaign);
    let spend = terms.spend.unwrap();
    assert_eq!((terms.window.as_secs(), spend.wei, spend.period.as_secs()), (600, 5_000_000_000, 3_600));
    assert_eq!(policy.of(sluice_core::ids::CampaignId::default()), policy.usual);
    assert_eq!(policy.usual, sluice_core::fees::SettlementTerms::default());
    assert_eq!(config.chains[&config.home].kind, ChainKind::Op);
    assert!(load_text(&EXAMPLE.replace("kind = \"op\"", "kind = \"zk\"")).is_err());
    let never = EXAMPLE.replace("# spend_period_seconds = 86400", "spend_period_seconds = 0");
    assert!(load_text(&never).is_err());
}

#[test]
fn a_campaign_may_weigh_more_than_others_within_bounds() {
    let weighing = |weight: &str| {
        load_text(&format!(
            "{EXAMPLE}\n[campaigns.01970000-0000-7000-8000-000000000000]\nweight = {weight}\n"
        ))
    };
    let campaign = sluice_core::ids::CampaignId("01970000-0000-7000-8000-000000000000".parse().unwrap());
    let weights = weighing("3").unwrap().weights();
    assert_eq!((weights.of(campaign), weights.of(sluice_core::ids::CampaignId::default())), (3, 1));
    for wrong in ["0", "101"] {
        let error = weighing(wrong).unwrap_err().to_string();
        assert!(error.contains("campaigns.01970000-0000-7000-8000-000000000000.weight"), "{error}");
    }
    assert!(weighing("-1").is_err() && weighing("\"heavy\"").is_err());
}

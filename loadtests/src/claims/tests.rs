use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: ClaimsArgs,
}

fn parsed(line: &str) -> Result<ClaimsArgs, String> {
    let words = std::iter::once("claims").chain(line.split_whitespace());
    Line::try_parse_from(words).map(|line| line.args).map_err(|error| error.to_string())
}

#[test]
fn wallets_left_out_are_enough_for_all_that_may_be_decided() {
    let args = parsed("").unwrap();
    // Pressed for eight seconds at 13,000; a minute of a tenth more; twenty seconds of 70 % of all that. A rate is a float.
    let all = 104_000 + 858_000 + 200_200;
    assert!((all..all + 3).contains(&args.wallets()), "{}", args.wallets());
    assert_eq!(parsed("--rate 100 --seconds 10 --calm-seconds 10").unwrap().wallets(), 1_700);
    let there = "--target http://node:8080 --rate 0.5 --seconds 3 --skip 7";
    assert_eq!(parsed(there).unwrap().wallets(), 9);
}

#[test]
fn wallets_that_would_run_out_are_refused_before_the_set_up() {
    let error =
        parsed("--rate 100 --seconds 10 --calm-seconds 10 --wallets 1699").unwrap().check().unwrap_err();
    assert!(error.to_string().contains("1700 wallets"), "{error}");
    assert!(parsed("--rate 100 --seconds 10 --calm-seconds 10 --wallets 1700").unwrap().check().is_ok());
    let there = "--target http://node:8080 --rate 10 --seconds 10 --skip 100 --wallets";
    assert!(parsed(&format!("{there} 199")).unwrap().check().is_err());
    assert!(parsed(&format!("{there} 200")).unwrap().check().is_ok());
}

#[test]
fn options_that_would_panic_or_be_ignored_are_refused() {
    for line in [
        "--rate 0",
        "--rate -1",
        "--rate NaN",
        "--connections 0",
        "--seconds 0",
        "--calm-seconds 0",
        "--wallets 0",
    ] {
        assert!(parsed(line).is_err(), "{line}");
    }
    for line in ["--json", "--target http://node:8080", "--seconds 5", "--connections 5", "--skip 1"] {
        assert!(parsed(&format!("--write-list list.csv --wallets 5 {line}")).is_err(), "{line}");
    }
    assert!(parsed("--write-list list.csv").is_err());
    assert!(parsed("--write-list list.csv --wallets 5").is_ok());
    let campaign = "00000000-0000-0000-0000-000000000001";
    for line in [&*format!("--campaign {campaign}"), "--round 1", "--snapshot file", "--skip 1"] {
        assert!(parsed(line).unwrap().check().is_err(), "{line}");
    }
    for line in ["--gated-every 3", "--calm-seconds 20", "--settle"] {
        assert!(parsed(&format!("--target http://node:8080 {line}")).unwrap().check().is_err(), "{line}");
    }
}

use super::*;

#[test]
fn large_numbers_are_grouped() {
    let shown = [0.0, 999.0, 1_000.0, 1_234_567.4].map(grouped);
    assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
}

#[test]
fn a_report_has_what_was_found_in_both_forms() {
    let phase = Phase {
        name: "full rate".into(),
        seconds: 2.0,
        delivered: 3_000,
        per_second: 1_500.0,
        cpu: Some(0.5),
        cpu_ns_per_delivery: Some(5_700.0),
        skipped: 7,
        drained: true,
        ..Phase::default()
    };
    let target = TargetReport { name: "gateway".into(), phases: vec![phase], ..Default::default() };
    let report = Report { targets: vec![target], ..Report::default() };
    let table = report.table();
    for shown in ["gateway", "1,500/s; 7 skipped", "50 % of a core, 5.700 us a delivery"] {
        assert!(table.contains(shown), "{table}");
    }
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["targets"][0]["phases"][0]["skipped"], 7);
}

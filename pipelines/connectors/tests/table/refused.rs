//! Options that are refused.

use nilometer_connectors::{Connector as _, TableOptions, Window};

use crate::{FLOW, LOCAL, delay, folder, options};

#[test]
fn options_that_cannot_work_together_are_refused() {
    let root = folder("");
    for (text, key) in [
        ("qualifier_flags = { Ice = \"suspect\" }", "qualifier_flags"),
        ("time_label = \"start\"", "time_label"),
        ("other_stations = \"skip\"", "other_stations"),
        ("decimal = \",\"", "decimal"),
        ("comment = \" \"", "comment"),
        ("format = \"parquet\"\ncomment = \"#\"", "format"),
    ] {
        let problems = options(&format!("{LOCAL}\n{text}")).problems(root.path());
        assert_eq!(problems.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), [key], "{text}");
        assert!(problems[0].1.contains("accepted"), "{problems:?}");
    }
    let error = toml::from_str::<TableOptions>(&format!("{LOCAL}\nmissing = [true]")).unwrap_err().to_string();
    assert!(error.contains("accepted is a number or a word"), "{error}");
    let error = toml::from_str::<TableOptions>(&format!("{LOCAL}\nqualifier_flags = {{ a = \"bad\" }}"));
    assert!(error.unwrap_err().to_string().contains("suspect"));
}

#[test]
fn every_problem_is_reported_at_once() {
    let text = r#"
        path = "nowhere/flow.csv"
        station = { column = "" }
        time = { first_line = { format = "iso", step = "0s" } }
        time_zone = "+1"
        value = "flow"
        variable = "discharge"
        unit = "mm"
        scale = nan
        period = "-1h"
        delimiter = "é"
    "#;
    let root = tempfile::tempdir().unwrap();
    let problems = options(text).problems(root.path());
    let keys: Vec<&str> = problems.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "path",
            "station",
            "time.first_line.format",
            "time.first_line.step",
            "value",
            "station",
            "time_zone",
            "period",
            "unit",
            "scale",
            "delimiter",
        ]
    );
    assert!(problems.iter().all(|(_, problem)| problem.contains("accepted")), "{problems:?}");
    assert!(toml::from_str::<TableOptions>(&format!("{FLOW}\nfoo = 1")).is_err());
    let error = options(text).open("q", delay("0s"), root.path(), Window::ALL).err().unwrap();
    assert!(!error.is_retryable() && error.to_string().contains("source q: path"), "{error}");
    let absent = options(FLOW).open("q", delay("0s"), root.path(), Window::ALL).err().unwrap();
    assert!(absent.is_retryable(), "{absent}");
}

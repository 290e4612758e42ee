//! The page in a real browser, on a night of flood and on one with a silent gauge: what `tests/page/run.mjs` finds.

use std::{
    fs,
    process::{Command, Stdio},
};

use crate::support::{cance, data_beside, root, service::Service, succeed, window};
use nilometer_needs::needs;

const FROM: &str = "2014-11-02T00:00:00Z";
const TO: &str = "2014-11-04T08:00:00Z";
/// Hours from the first line of a gauge's file, 2006-01-01, to the last reading before it falls silent: 2014-11-03T20:00.
const READ: usize = 77_492;

#[needs(cance, page)]
#[test]
fn the_page_does_what_a_night_needs_by_keys_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut flood = Service::start(&window(&store, FROM, TO), &[], &folder.path().join("log"));
    let data = data_beside(&cance());
    let file = data.path().join("qobs/V3524010.csv");
    let lines: Vec<String> = fs::read_to_string(&file).unwrap().lines().take(READ + 2).map(str::to_owned).collect();
    fs::write(&file, lines.join("\n") + "\n").unwrap();
    let mut set = window(&folder.path().join("silent"), FROM, TO);
    set.push(format!("data={}", data.path().display()));
    let mut silent = Service::start(&set, &[], &folder.path().join("silent.log"));
    flood.settled();
    silent.settled();
    let of_gauge = silent.get("/stations/V3524010").json();
    assert_eq!(of_gauge["properties"]["data"], "silent", "{of_gauge}");
    assert_eq!(of_gauge["properties"]["observed"]["valid_time"], "2014-11-03T20:00:00Z");

    let mut token = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    token.args(["token", "new", "night", "--scope", "operate", "--store"]).arg(&store);
    let token = String::from_utf8(succeed(token).stdout).unwrap();
    // Where somebody wants to look at them.
    let pictures = std::env::var_os("NILOMETER_PICTURES").map_or_else(|| folder.path().join("pictures"), Into::into);
    let mut run = Command::new(root().join("ops/page"));
    run.arg("run").args([format!("http://{}/", flood.address), token.trim().to_owned()]);
    run.arg(&pictures).arg(format!("http://{}/", silent.address)).stdin(Stdio::null());
    let ended = run.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{said}\n{}", String::from_utf8_lossy(&ended.stderr));
    println!("{said}");
    assert!(pictures.join("station-phone.png").exists() && pictures.join("silent.png").exists());
    for service in [flood, silent] {
        service.process.signal("TERM");
        service.process.end();
    }
}

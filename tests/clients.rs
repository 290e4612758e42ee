//! The service as clients that others have written read it, and as the schemas of the standards want it.

use std::{path::PathBuf, process::Command};

use nilometer_needs::needs;

use crate::support::{root, service::Service, succeed, window};

/// The night of the flood.
const FROM: &str = "2014-11-02T00:00:00Z";
const TO: &str = "2014-11-04T08:00:00Z";

/// The OGC's and others' schemas: `NILOMETER_STANDARDS` names their folder, else it is beside the checkout.
fn standards() -> PathBuf {
    let named = std::env::var_os("NILOMETER_STANDARDS").map(PathBuf::from);
    named.unwrap_or_else(|| root().join("../shared/operators/standards"))
}

/// What a script of `ops/clients` says of a service that serves the night, with more of its definition.
fn asked(command: &str, more: &[&str], arguments: impl FnOnce(&Service) -> Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut token = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    token.args(["token", "new", "clients", "--scope", "operate", "--store"]).arg(&store);
    let operator = String::from_utf8(succeed(token).stdout).unwrap().trim().to_owned();
    let mut set = window(&store, FROM, TO);
    // They ask as fast as they can.
    set.push("serve.requests_per_s=0".to_owned());
    set.extend(more.iter().map(|set| (*set).to_owned()));
    let mut service = Service::start(&set, &[], &folder.path().join("log"));
    service.settled();
    let mut run = Command::new(root().join("ops/clients"));
    run.args([command, &format!("http://{}", service.address), &operator]).args(arguments(&service));
    let ended = run.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{said}\n{}", String::from_utf8_lossy(&ended.stderr));
    println!("{said}");
    let log = service.process.said();
    assert!(!log.contains("a request failed"), "{log}");
    service.process.signal("TERM");
    service.process.end();
}

#[needs(cance, clients)]
#[test]
fn clients_that_others_have_written_read_it_without_a_special_case() {
    let also = ["serve.postgres=127.0.0.1:0", "serve.flight=127.0.0.1:0"];
    asked("run", &also, |service| ["PostgreSQL protocol at", "Flight SQL at"].map(|said| service.also_at(said)).into());
}

#[needs(cance, clients, standards)]
#[test]
fn the_schemas_of_the_standards_hold() {
    asked("standards", &["forecast.member_values=true"], |_| vec![standards().display().to_string()]);
}

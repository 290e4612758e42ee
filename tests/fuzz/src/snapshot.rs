use std::sync::Arc;

use nilometer_engine::{Snapshots, Versioned};
use object_store::{ObjectStoreExt as _, memory::InMemory, path::Path};
use serde_json::{Map, Value};

use crate::{assert_described, sealed, wait};

/// What roles put into a snapshot, in short.
type Content = Versioned<Map<String, Value>, 2>;

/// A snapshot, as it is read at start and as it is saved again.
pub(crate) fn snapshot(bytes: &[u8]) {
    for object in sealed::both(bytes) {
        wait(read(object));
    }
}

async fn read(object: Vec<u8>) {
    let store = Arc::new(InMemory::new());
    let snapshots = Snapshots::new(store.clone(), "snapshots", "forecast", 2);
    let key = Path::from(format!("snapshots/forecast/{:020}.arrow", 7));
    store.put(&key, object.into()).await.expect("a store in memory takes every object");
    snapshots.recorded_at(7).await.expect("damage is no failure of the store");
    let found = match snapshots.newest::<Content>().await {
        Ok(found) => found.expect("there is one"),
        Err(error) => return assert_described(&error),
    };
    let keys: Vec<String> = found.columns.keys().into_iter().map(str::to_owned).collect();
    let keyed = found.columns.keyed(keys.iter().map(String::as_str).chain(["another"]));
    for name in found.columns.names() {
        for place in 0..keyed.len() {
            let widths = [keyed.f32(name, place).map(<[_]>::len), keyed.f64(name, place).map(<[_]>::len)];
            assert!(widths.iter().flatten().count() <= 1, "a column has one type");
            assert!(place < keys.len() || widths == [None; 2], "a key that is new has no numbers");
        }
    }
    let Versioned::Current(_) = &found.content else { return };
    snapshots.save(8, &found.content, &found.columns).await.expect("what was read can be written");
    let again = snapshots.readable::<Content>(8).await.unwrap().expect("what was written can be read");
    assert_eq!(again.content, found.content);
    assert!(again.columns.names().eq(found.columns.names()));
    assert_eq!(again.columns.keys(), found.columns.keys());
}

use std::sync::Arc;

use nilometer_ingest::Announcement;
use object_store::{ObjectStoreExt as _, memory::InMemory, path::Path};

use crate::{assert_described, wait};

/// The files that put a package in force: that it is announced, and from when on it is taken.
pub(crate) fn announcement(bytes: &[u8]) {
    wait(async {
        let store = Arc::new(InMemory::new());
        for folder in ["announcements", "taken"] {
            let key = Path::from(format!("models/{folder}/00000001.json"));
            store.put(&key, bytes.to_vec().into()).await.expect("a store in memory takes every object");
        }
        let announcements = Announcement::of_store(store);
        match announcements.asked(1).await {
            Err(error) => assert_described(&error),
            Ok(found) => {
                let found = found.expect("there is one");
                let number = announcements.ask(&found).await.unwrap();
                assert_eq!(announcements.asked(number).await.unwrap(), Some(found));
            }
        }
        match announcements.taken_at(1).await {
            Err(error) => assert_described(&error),
            Ok(tick) => {
                let tick = tick.expect("there is one");
                announcements.take(2, tick).await.unwrap();
                assert_eq!(announcements.taken_at(2).await.unwrap(), Some(tick));
            }
        }
    });
}

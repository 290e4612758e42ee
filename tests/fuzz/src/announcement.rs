use std::sync::Arc;

use nilometer_packages::PackageStore;
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
        let packages = PackageStore::new(store);
        match packages.announcement(1).await {
            Err(error) => assert_described(&error),
            Ok(found) => {
                let found = found.expect("there is one");
                let number = packages.announce(&found).await.unwrap();
                assert_eq!(packages.announcement(number).await.unwrap(), Some(found));
            }
        }
        match packages.taken_at(1).await {
            Err(error) => assert_described(&error),
            Ok(tick) => {
                let tick = tick.expect("there is one");
                packages.take(2, tick).await.unwrap();
                assert_eq!(packages.taken_at(2).await.unwrap(), Some(tick));
            }
        }
    });
}

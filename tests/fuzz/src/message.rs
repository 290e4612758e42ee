use nilometer_engine::{from_ipc, to_ipc};

use crate::assert_described;

/// The body of a message: an Arrow IPC stream.
pub(crate) fn message(bytes: &[u8]) {
    match from_ipc(bytes) {
        Err(error) => assert_described(&error),
        // Arrow reads some types that it does not write.
        Ok((batch, _)) => {
            if let Ok(written) = to_ipc(&batch, &[]) {
                let (again, _) = from_ipc(&written).unwrap();
                assert_eq!((again.num_rows(), again.schema()), (batch.num_rows(), batch.schema()));
                // Not a number is not equal to itself.
                assert_eq!(format!("{:?}", again.columns()), format!("{:?}", batch.columns()));
            }
        }
    }
}

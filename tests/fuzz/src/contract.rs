use nilometer_engine::from_ipc;
use nilometer_schemas::Contract;

use crate::assert_described;

/// A batch of any schema, held to every contract.
pub(crate) fn contract(bytes: &[u8]) {
    let Ok((batch, _)) = from_ipc(bytes) else { return };
    for contract in Contract::ALL {
        match contract.accept(batch.clone()) {
            Err(error) => assert_described(&error),
            Ok(accepted) => {
                assert_eq!((accepted.num_rows(), accepted.schema()), (batch.num_rows(), contract.schema()));
                contract.accept(accepted).expect("what a contract has accepted it accepts again");
            }
        }
    }
}

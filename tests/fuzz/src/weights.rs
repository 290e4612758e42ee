use std::path::Path;

use nilometer_packages::read_tensors;

use crate::assert_described;

/// A safetensors file.
pub(crate) fn weights(bytes: &[u8]) {
    match read_tensors(Path::new("weights.safetensors"), bytes) {
        Err(error) => assert_described(&error),
        Ok(tensors) => {
            for tensor in tensors.values() {
                assert_eq!(tensor.values.len(), tensor.shape.iter().product::<usize>());
            }
        }
    }
}

//! Provider: the device that runs a model's graphs.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where graphs run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// the processor
    Cpu,
    /// an NVIDIA GPU
    Cuda,
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        })
    }
}

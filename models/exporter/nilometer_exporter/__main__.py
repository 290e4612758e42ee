"""Command line: ``python -m nilometer_exporter cance --data DIR --flow-directions TIF --out models/zoo``."""

from __future__ import annotations

import argparse
from pathlib import Path

import jax

from .cance import write_packages


def main() -> None:
    parser = argparse.ArgumentParser(prog="nilometer_exporter", description="Trains models and writes their packages.")
    commands = parser.add_subparsers(required=True)
    cance = commands.add_parser("cance", help="exphydro-cance and hybrid-cance")
    cance.add_argument("--data", type=Path, required=True, help="folder with prcp, pet, qobs and gauge_attributes.csv")
    cance.add_argument("--flow-directions", type=Path, required=True, help="GeoTIFF of flow directions, codes 1..8 from North")
    cance.add_argument("--out", type=Path, required=True, help="folder that receives one folder per package")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_platforms", "cpu")
    write_packages(options.data, options.flow_directions, options.out)


if __name__ == "__main__":
    main()

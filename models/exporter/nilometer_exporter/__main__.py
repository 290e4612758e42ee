"""Command line: ``python -m nilometer_exporter cance | camels | nwrfc | folds | blend | snow | refresh …``; ``--help`` says more."""

from __future__ import annotations

import argparse
from pathlib import Path

import jax

from .blend import fit
from .camels.data import VALIDATION
from .camels.folds import fold_scores
from .camels.packages import train_package
from .camels.train import RECIPES
from .cance import write_packages
from .nwrfc.package import train_package as train_six_hourly
from .refresh import refresh as rewrite
from .snow import compare


def main() -> None:
    parser = argparse.ArgumentParser(prog="nilometer_exporter", description="Trains models and writes their packages.")
    commands = parser.add_subparsers(required=True)
    cance = commands.add_parser("cance", help="exphydro-cance and hybrid-cance")
    cance.add_argument("--data", type=Path, required=True, help="folder with prcp, pet, qobs and gauge_attributes.csv")
    cance.add_argument("--flow-directions", type=Path, required=True, help="GeoTIFF of flow directions, codes 1..8 from North")
    cance.add_argument("--out", type=Path, required=True, help="folder that receives one folder per package")
    cance.set_defaults(run=_cance)
    camels = commands.add_parser("camels", help="a daily model of many catchments")
    camels.add_argument("kind", choices=sorted(RECIPES))
    camels.add_argument("--data", type=Path, required=True, help="folder with forcing, streamflow, attributes and inventory")
    camels.add_argument("--not-judged", type=Path, help="file of catchments that the card's skill leaves out")
    camels.add_argument("--out", type=Path, required=True, help="folder that receives one folder per package")
    camels.set_defaults(run=_camels)
    nwrfc = commands.add_parser("nwrfc", help="the six-hourly model of a folder in the layout of the Northwest River Forecast Center")
    nwrfc.add_argument("--data", type=Path, required=True, help="folder with a folder a gauge")
    nwrfc.add_argument("--area-km2", action="append", default=[], metavar="ID=KM2", help="of a gauge whose zones are not its whole catchment")
    nwrfc.add_argument("--out", type=Path, required=True, help="folder that receives the package's folder")
    nwrfc.set_defaults(run=_nwrfc)
    folds = commands.add_parser("folds", help="skill in catchments that a model has not seen, five folds")
    folds.add_argument("kind", choices=sorted(kind for kind in RECIPES if not kind.endswith("local")))
    folds.add_argument("--data", type=Path, required=True, help="folder with forcing, streamflow, attributes and inventory")
    folds.add_argument("--not-judged", type=Path, help="file of catchments that the figure leaves out")
    folds.add_argument("--epochs", type=int, help="fewer than the recipe's")
    folds.set_defaults(run=lambda given: fold_scores(given.data, given.kind, given.not_judged, given.epochs))
    blend = commands.add_parser("blend", help="shares of a blend, from its members' hindcasts of the validation years")
    blend.add_argument("--hindcasts", type=Path, nargs="+", required=True, help="stores that nilometer hindcast wrote, one a member")
    blend.add_argument("--data", type=Path, required=True, help="folder with what the gauges read")
    blend.add_argument("--not-judged", type=Path, help="file of catchments that are left out")
    blend.add_argument("--out", type=Path, required=True, help="folder of the blend, beside those of its members")
    blend.add_argument("--leads", type=int, nargs="+", default=[1], help="lead times that count, days; the card's skill is of the first")
    blend.set_defaults(run=lambda given: fit(given.hindcasts, given.data, given.not_judged, VALIDATION, given.leads, given.out))
    snow = commands.add_parser("snow", help="a package's snow store beside a Caravan record (needs h5py)")
    snow.add_argument("--package", type=Path, required=True, help="folder of hybrid-regional or exphydro-regional")
    snow.add_argument("--data", type=Path, required=True, help="folder with forcing and attributes")
    snow.add_argument("--basin", required=True, help="the catchment that is run")
    snow.add_argument("--record", type=Path, required=True, help="NetCDF file of a Caravan catchment nearby")
    snow.set_defaults(run=lambda given: print(compare(given.package, given.data, given.basin, given.record, VALIDATION)))
    refresh = commands.add_parser("refresh", help="writes packages again: the same weights, graphs by today's exporter")
    refresh.add_argument("packages", type=Path, nargs="+", help="folders of packages")
    refresh.set_defaults(run=_refresh)
    options = parser.parse_args()
    options.run(options)


def _refresh(options: argparse.Namespace) -> None:
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_platforms", "cpu")
    for folder in options.packages:
        rewrite(folder)
        print(f"{folder}: written again")


def _cance(options: argparse.Namespace) -> None:
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_platforms", "cpu")
    write_packages(options.data, options.flow_directions, options.out)


def _camels(options: argparse.Namespace) -> None:
    train_package(options.data, options.kind, options.out, options.not_judged)


def _nwrfc(options: argparse.Namespace) -> None:
    areas = (area.split("=") for area in options.area_km2)
    train_six_hourly(options.data, {gauge: float(km2) for gauge, km2 in areas}, options.out)


if __name__ == "__main__":
    main()

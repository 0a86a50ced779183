"""Components and reels."""

from __future__ import annotations

from pywats_cfx.messages import structures as s
from pywats_cfx.messages.materials.storage import MaterialsLoaded
from pywats_cfx.messages.production.assembly import MaterialsInstalled

__all__ = ["installed", "loaded", "smt", "through_hole"]


def installed(
    panel: str, position: int, part: str, lot: str, designators: list[str], serials: list[str] | None = None
) -> s.InstalledMaterial:
    """Components of one reel or tray on one unit.

    Args:
        panel: identifier of the panel or unit.
        position: of the unit on it.
        part: number of the components' part.
        lot: identifier of the reel or tray.
        designators: where they are.
        serials: of the components, where they have any.
    """
    found: list[str | None] = [*serials] if serials else [None] * len(designators)
    components: list[s.AnyInstalledComponent] = [
        s.InstalledComponent(ReferenceDesignator=designator, InstalledUnitIdentifier=serial)
        for designator, serial in zip(designators, found, strict=True)
    ]
    return s.InstalledMaterial(
        UnitIdentifier=panel,
        UnitPositionNumber=position,
        QuantityInstalled=float(len(designators)),
        Material=s.MaterialPackage(UniqueIdentifier=lot, InternalPartNumber=part, Quantity=4000.0),
        InstalledComponents=components,
    )


def smt() -> MaterialsInstalled:
    """Resistors and a capacitor from reels, on two units of a panel."""
    return MaterialsInstalled(
        TransactionId="5d4a9c1e-7a10-4a7b-9d83-3f5d5a0c2b11",
        InstalledMaterials=[
            installed("PANEL7", position, part, lot, designators)
            for position in (1, 2)
            for part, lot, designators in (
                ("RES-10K", "REEL-881", ["R1", "R2"]),
                ("CAP-100N", "REEL-902", ["C7"]),
            )
        ],
    )


def through_hole() -> MaterialsInstalled:
    """A module with a serial of its own."""
    return MaterialsInstalled(
        InstalledMaterials=[installed("SN100042", 1, "MODULE-4G", "TRAY-12", ["J1"], ["4G-000177"])]
    )


def loaded() -> MaterialsLoaded:
    """A reel is in its feeder."""
    return MaterialsLoaded(
        Materials=[
            s.MaterialLocation(
                LocationIdentifier="SLOT45",
                LocationName="SLOT45",
                MaterialPackage=s.MaterialPackage(
                    UniqueIdentifier="REEL-881", InternalPartNumber="RES-10K", Quantity=4000.0
                ),
            )
        ]
    )

"""A short name for the processor, under which results are filed: `amd-epyc-zen4`, `intel-xeon-amx`."""

from __future__ import annotations

import re
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")
_NOISE = re.compile(r"\((?:r|tm)\)|@.*|\b(?:cpu|processor)\b|\b\d+-core\b", re.IGNORECASE)
# The instructions that decide how fast matrix products are, the fastest first, by Linux' names.
_INSTRUCTIONS = {
    "amx_bf16": "amx",
    "avx512_bf16": "avx512-bf16",
    "avx512f": "avx512",
    "avx2": "avx2",
    "asimd": "neon",
}


def cpu_info() -> dict[str, str]:
    """Return what Linux tells of the first core; empty on other systems."""
    try:
        first = _CPU_INFO.read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def short_name(info: dict[str, str], otherwise: str) -> str:
    """Name a processor by its model and, since a virtual machine often hides the rest of it, by its kind.

    The kind is AMD's generation or else the fastest instructions for matrix products.

    Args:
        info: of `cpu_info`.
        otherwise: the model where Linux does not tell it.

    Returns:
        Lower-case words joined by hyphens.
    """
    flags = {*info.get("flags", info.get("Features", "")).split()}
    kind = next((kind for flag, kind in _INSTRUCTIONS.items() if flag in flags), "")
    if info.get("vendor_id") == "AuthenticAMD":
        zen4_or_3 = "zen4" if "avx512f" in flags else "zen3"
        kind = {"23": "zen", "25": zen4_or_3, "26": "zen5"}.get(info.get("cpu family", ""), kind)
    model = _NOISE.sub(" ", info.get("model name", otherwise))
    return "-".join(re.findall(r"[a-z0-9.]+", f"{model} {kind}".lower())) or "unknown"

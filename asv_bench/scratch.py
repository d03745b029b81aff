"""Write the configuration of ``make bench``, and print where: ``python asv_bench/scratch.py``.

It is ``asv.conf.json`` with another directory for results.  asv files them under the name of the host, and those of
two commits compared for a look are not among what is committed.
"""

from pathlib import Path

from asv import util

HERE = Path(__file__).resolve().parent
SCRATCH = HERE / ".asv" / "env" / "scratch"
PATHS = ("repo", "benchmark_dir", "env_dir", "html_dir")  # which asv takes from where the configuration lies


def main() -> None:
    """Write it beside the results that it is for."""
    configuration = util.load_json(str(HERE / "asv.conf.json"), js_comments=True)
    configuration |= {name: str((HERE / configuration[name]).resolve()) for name in PATHS}
    configuration["results_dir"] = str(SCRATCH / "results")
    SCRATCH.mkdir(parents=True, exist_ok=True)
    util.write_json(str(SCRATCH / "asv.conf.json"), configuration)
    print(SCRATCH / "asv.conf.json")


if __name__ == "__main__":
    main()

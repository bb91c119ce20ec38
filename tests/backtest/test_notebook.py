"""The cells of docs/backtest.ipynb, run in order as a notebook would, say what its text promises."""
import os

import orjson

from tests.conftest import ROOT


def test_the_cells_run_in_order_and_keep_no_outputs(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(tmp_path)                            # the notebook goes elsewhere: afterwards all is as it was
    cells = orjson.loads((ROOT / "docs" / "backtest.ipynb").read_bytes())["cells"]
    names: dict = {"__name__": "notebook"}
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    assert os.getcwd().startswith(str(tmp_path))
    assert len(names["trades"]) == names["result"]["result"]["trades"] > 5
    assert names["by_hour"]["trades"].sum() == len(names["trades"]) and names["figures"]["figure"].to_list()[0] == "trades"
    svg = names["Curve"]([1.0, 3.0, 2.0])._repr_svg_()
    assert svg.count(",") == 3 and 'points="0.0,150.0 320.0,10.0 640.0,80.0"' in svg
    said = capsys.readouterr().out
    assert names["worst"]["symbol"] in said and len(said.splitlines()) > 5

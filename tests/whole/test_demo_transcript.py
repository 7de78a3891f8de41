"""The transcripts of the demo in README.md and docs/demo-output.txt are of one run."""

from scripts import demo_transcript


def test_the_readme_has_the_shortened_transcript_of_the_complete_output() -> None:
    documented = demo_transcript.OUTPUT.read_text(encoding="utf-8")
    (block,) = demo_transcript.BLOCK.findall(demo_transcript.README.read_text(encoding="utf-8"))
    assert block == demo_transcript.shorten(documented), "run `make pictures`"

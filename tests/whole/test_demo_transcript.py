"""The transcripts of the demo in README.md and docs/demo-output.txt: one run of the program."""

from scripts import demo_transcript

DOCUMENTED = demo_transcript.OUTPUT.read_text(encoding="utf-8")


def test_the_readme_has_the_shortened_transcript_of_the_complete_output() -> None:
    (block,) = demo_transcript.BLOCK.findall(demo_transcript.README.read_text(encoding="utf-8"))
    assert block == demo_transcript.shorten(DOCUMENTED), "run `make pictures`"

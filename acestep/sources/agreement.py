"""A request and its context: the context fills in what the request leaves open, and a contradiction is
refused.

The context's tempo comes from its sidecar, its acid chunk, its tags or its name, in this order, and from
listening. If these disagree, or none is sure, the request has to say the tempo.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from acestep.errors import InvalidRequest, UnreadableAudio
from acestep.hearing.measure import Measurement
from acestep.music.grid import BARS_RANGE, BPM_RANGE, DURATION_RANGE_S, Grid, Signature
from acestep.music.tempo_map import TempoMap
from acestep.request import AudioRange, GenerateRequest
from acestep.sound.audio import duration_s, probe
from acestep.sound.labels import read_labels
from acestep.sound.riff import read_chunks
from acestep.sources.claim import by_sidecar, sidecar_of
from acestep.sources.context import LAYERS, heard

# Chosen by hand; nothing measures the choice.
SURE_TEMPO = 0.5  # confidence from which a tempo that was heard is believed
OVERRULES = 0.8  # confidence from which the ear is believed against request and file together
CLEARER = 0.1  # in confidence
SURE_METER = 0.6  # confidence from which a meter that was heard is believed
HEARD_AS = {3: Signature(3, 4), 4: Signature(), 6: Signature(6, 8)}
SAME_TEMPO = 0.005  # relative; two tempi closer than this are one, told with different precision
WORTH_SAYING = 0.0005  # relative; from here on a deviation from the context is a note
NEAT = 0.0004  # relative; a tempo heard so near to a half beat per minute is that
NEAR_BAR = 0.01  # of a bar; a length so near to whole bars is that
WHOLE_BEATS = 0.5  # of a beat; how far behind a part's last bar its context may end
NAMED_BPM = re.compile(r"(?<![\d.,])(\d{2,3}(?:[.,]\d{1,3})?)[\s_-]?bpm(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Said:
    """A source's word on a file's grid. `firm` if a program wrote it for programs to read."""

    source: str
    bpm: float | None = None
    signature: Signature | None = None
    tempo_map: TempoMap | None = None
    firm: bool = True


def agreed(request: GenerateRequest) -> tuple[GenerateRequest, tuple[str, ...]]:
    """The request with its whole grid, and notes on what was taken from the context or assumed.

    Raises InvalidRequest if the context contradicts the request or itself, or does not say enough, and
    UnreadableAudio.
    """
    if request.context is None:
        return request, ()
    return _Meeting(request, request.context).result()


class _Meeting:
    """One request and its context."""

    def __init__(self, request: GenerateRequest, context: AudioRange) -> None:
        self.request, self.context = request, context
        self.name = Path(context.path).name
        self.duration_s = duration_s(context)
        if self.duration_s <= 0:
            raise UnreadableAudio(
                f"{self.name} lasts {probe(context.path).duration_s:.2f} s: nothing starts at "
                f"{context.start_s:g} s"
            )
        self.claims = list(_claims(Path(context.path).expanduser()))
        self.notes: list[str] = []

    def result(self) -> tuple[GenerateRequest, tuple[str, ...]]:
        """The request as it is carried out."""
        self.signature = self._signature()
        request = replace(self.request, signature=self.signature)
        if request.tempo_map is None and request.bpm is None:
            request = self._on_the_contexts_map(request)
        if request.tempo_map is None:
            request = replace(request, bpm=self._tempo())
            self._refuse_other_tempi(request.bpm)
        request = replace(request, bars=self._bars(request))
        if request.tempo_map is not None:
            self._follows(request)
        return request, tuple(self.notes)

    def _signature(self) -> Signature:
        asked = self.request.signature
        claim = next((claim for claim in self.claims if claim.signature), None)
        if asked is not None:
            # 4/4 is what programs write where nobody said anything; ours say what was made
            said = claim is not None and (claim.signature != Signature() or claim.source == "sidecar")
            if claim and said and claim.signature != asked:
                raise InvalidRequest(
                    f"{self.name} is in {claim.signature} (its {claim.source}), and {asked} was asked for: "
                    "leave the signature out to take the context's, or name a context in that signature"
                )
            if not said:
                self._refuse_meter(asked)
            return asked
        if claim and claim.signature:
            if claim.signature != Signature():
                self.notes.append(f"signature {claim.signature}: the context's, by its {claim.source}")
            return claim.signature
        measured = self._heard(None)
        if measured.meter in (3, 6) and measured.meter_confidence >= SURE_METER:
            found = Signature(3, 4) if measured.meter == 3 else Signature(6, 8)
            self.notes.append(f"signature {found}: as heard in the context")
            return found
        self.notes.append("signature 4/4: assumed, because the context does not say one")
        return Signature()

    def _refuse_meter(self, asked: Signature) -> None:
        """Raise InvalidRequest if another meter than the asked one is clearly heard in the context."""
        measured = self._heard(None)
        found = HEARD_AS.get(measured.meter or 0)
        if found is None or measured.meter_confidence < OVERRULES:
            return
        if {asked.numerator % 3 == 0, found.numerator % 3 == 0} == {True, False}:
            raise InvalidRequest(
                f"{self.name} is heard in {found}, and {asked} was asked for: leave the signature out to "
                "take the context's, or name a context in that signature"
            )

    def _on_the_contexts_map(self, request: GenerateRequest) -> GenerateRequest:
        """The context's own tempo map, if it has one and the part is to follow it."""
        claim = next((claim for claim in self.claims if claim.tempo_map), None)
        if claim is None or claim.tempo_map is None or request.task not in LAYERS:
            return request
        start = claim.tempo_map.quarters(self.context.start_s)
        self.notes.append(f"the tempo map is the context's, by its {claim.source}")
        return replace(request, tempo_map=claim.tempo_map.since(start))

    def _follows(self, request: GenerateRequest) -> None:
        """Note a context that does not follow the tempo map."""
        straight = heard(self.context, request.grid, request.key, request.tempo_map)
        if _is_sure(straight) and not self._same(request.grid.bpm, straight.bpm):
            self.notes.append(
                f"the context does not follow the tempo map: straightened by it, it is heard at "
                f"{straight.bpm:.2f} bpm, not at {request.grid.bpm:.2f}"
            )

    def _tempo(self) -> float:
        asked = self.request.bpm
        claim = next((claim for claim in self.claims if claim.bpm), None)
        found, measured = self._pulse(asked or (claim.bpm if claim else None))
        if asked is None:
            return self._tempo_left_open(claim, found, measured)
        self._compare(asked, claim, found, measured.tempo_confidence)
        return asked

    def _refuse_other_tempi(self, bpm: float | None) -> None:
        """Raise InvalidRequest if a file that is to sound together with the context says another tempo."""
        for one in self.context.plus:
            claim = next((claim for claim in _claims(Path(one.path).expanduser()) if claim.bpm), None)
            if bpm and claim and claim.firm and claim.bpm and not self._same(bpm, claim.bpm):
                raise InvalidRequest(
                    f"{Path(one.path).name} is at {claim.bpm:g} bpm by its {claim.source}, {self.name} at "
                    f"{_neat(bpm):g} bpm: files that sound together as a context need one tempo"
                )

    def _pulse(self, expected: float | None) -> tuple[float | None, Measurement]:
        """The tempo that is clearly heard, or None; and the measurement.

        No expected tempo is given, because it makes the ear hear what is expected. It counts only if this
        reading is much clearer than the others.
        """
        alone = self._heard(None)
        if expected is not None and not (_is_sure(alone) and self._same(expected, alone.bpm)):
            hinted = self._heard(Grid(expected, self.signature, 1.0))
            clearer = hinted.tempo_confidence > alone.tempo_confidence + CLEARER or not _is_sure(alone)
            if _is_sure(hinted) and clearer and self._same(expected, hinted.bpm):
                return hinted.bpm, hinted
        return (alone.bpm if _is_sure(alone) else None), alone

    def _tempo_left_open(self, claim: Said | None, found: float | None, measured: Measurement) -> float:
        """The context's tempo. Raises InvalidRequest when it is unsure."""
        if claim and claim.bpm:
            if found is not None and not self._same(claim.bpm, found):
                raise InvalidRequest(
                    f"{self.name} is at {claim.bpm:g} bpm by its {claim.source}, but is heard at "
                    f"{_neat(found):g} bpm: say with bpm which of them is right"
                )
            if claim.bpm == round(claim.bpm) and not claim.firm and found is not None:
                bpm = found if abs(found / claim.bpm - 1) < SAME_TEMPO else claim.bpm
                bpm = _neat(bpm)
            else:
                bpm = claim.bpm
            self.notes.append(f"tempo {bpm:g} bpm: the context's, by its {claim.source}")
            return bpm
        if found is not None and BPM_RANGE[0] <= found <= BPM_RANGE[1]:
            self.notes.append(f"tempo {_neat(found):g} bpm: as heard in the context")
            return _neat(found)
        if measured.bpm is None:
            what = "no beat is heard in it"
        elif not measured.steady:
            what = f"it is heard at about {measured.bpm:.1f} bpm and moves by {measured.drift_pct:.1f} %"
        else:
            what = f"it is heard at about {measured.bpm:.1f} bpm, which is not sure"
        raise InvalidRequest(
            f"the tempo of {self.name} is not known: nothing in the file says it, and {what}; say it with bpm"
        )

    def _compare(self, asked: float, claim: Said | None, found: float | None, confidence: float) -> None:
        """Raise InvalidRequest if the context has another tempo than the asked one."""
        true = found if found is not None else claim.bpm if claim and claim.firm else None
        told = claim is not None and self._same(asked, claim.bpm)
        if true is not None and not self._same(asked, true) and not (told and confidence < OVERRULES):
            how = "heard at" if found is not None or claim is None else f"at (by its {claim.source})"
            raise InvalidRequest(
                f"{self.name} is {how} {_neat(true):g} bpm, and {asked:g} bpm was asked for, which would not "
                "fit it: leave bpm out to take the context's tempo, or name a context at that tempo"
            )
        if claim and claim.bpm and not told:
            self.notes.append(
                f"the context is at {claim.bpm:g} bpm by its {claim.source}; {asked:g} bpm was asked for"
            )
        elif true is not None and WORTH_SAYING < abs(true / asked - 1) < SAME_TEMPO:
            self.notes.append(f"the context is at {true:.2f} bpm; {asked:g} bpm was asked for")

    def _bars(self, request: GenerateRequest) -> float:
        """How many bars: those asked for, else as many as the context has."""
        assert request.signature is not None
        has = self._length_in_bars(request)
        moved = request.task in LAYERS
        if request.bars is not None:
            behind = (request.bars - has) * request.signature.numerator
            if behind > WHOLE_BEATS and not moved and not self._continues(request):
                raise InvalidRequest(
                    f"{self.name} lasts {self.duration_s:.2f} s, which are {has:.4g} bars, and "
                    f"{request.bars:g} bars were asked for: task {request.task} keeps to its source's "
                    "length; leave bars out"
                )
            if behind > WHOLE_BEATS and moved:
                self.notes.append(f"the context ends after {has:.4g} of the {request.bars:g} bars")
            return request.bars
        if request.repaint_s is not None and request.repaint_s[1] > self.duration_s and request.bpm:
            has *= request.repaint_s[1] / self.duration_s
        whole = round(has)
        if (
            moved and has >= 1 - NEAR_BAR
        ):  # whole bars loop; a context's tail behind the last one is not a bar
            bars = float(int(has + WHOLE_BEATS / request.signature.numerator))
        else:
            bars = float(whole) if whole and abs(has - whole) < NEAR_BAR else has
        if self.duration_s > DURATION_RANGE_S[1] or not BARS_RANGE[0] <= bars <= BARS_RANGE[1]:
            raise InvalidRequest(
                f"{self.name} lasts {self.duration_s:.2f} s, and a clip {DURATION_RANGE_S[0]:g}–"
                f"{DURATION_RANGE_S[1]:g} s: say how many bars, or name a part of the file by start and end"
            )
        if self._continues(request):
            assert request.repaint_s is not None
            self.notes.append(
                f"the context lasts {self.duration_s:.2f} s, and the region to make anew ends at "
                f"{request.repaint_s[1]:g} s: the clip goes on behind its end, {bars:.4g} bars in all"
            )
        else:
            self.notes.append(f"{bars:.6g} bars: as long as the context")
        return bars

    def _length_in_bars(self, request: GenerateRequest) -> float:
        assert request.signature is not None
        if request.tempo_map is not None:
            return request.tempo_map.quarters(self.duration_s) / request.signature.quarters_per_bar
        assert request.bpm is not None
        return self.duration_s * request.bpm / 60 / request.signature.quarters_per_bar

    def _continues(self, request: GenerateRequest) -> bool:
        """Whether what lies behind the context's end is to be made anew."""
        return request.repaint_s is not None and request.repaint_s[1] > self.duration_s

    def _same(self, one: float, other: float | None) -> bool:
        """Whether two tempi are the same pulse, or its half or double – in compound time also its third."""
        ratios = [1.0, 2.0, 0.5]
        if self.signature.denominator >= 8 and self.signature.numerator % 3 == 0:
            ratios += [1.5, 1 / 1.5, 3.0, 1 / 3]
        return other is not None and any(abs(one / other / ratio - 1) < SAME_TEMPO for ratio in ratios)

    def _heard(self, hint: Grid | None) -> Measurement:
        return heard(self.context, hint, self.request.key)


def _claims(file: Path) -> Iterator[Said]:
    """What a file and its sidecar say, surest first. What cannot be read says nothing."""
    sidecar = sidecar_of(file)
    own = by_sidecar(sidecar) if sidecar else None
    if own is not None:
        yield Said("sidecar", own.grid.bpm, own.grid.signature, own.aim.tempo_map)
    try:
        chunks: dict[str, Any] = read_chunks(file)
    except (OSError, UnreadableAudio):
        chunks = {}
    acid = chunks.get("acid")
    if isinstance(acid, dict) and not acid["one_shot"]:
        yield Said("acid chunk", _bpm(round(acid["bpm"], 4)), _signature_of(acid["signature"]))
    tags = read_labels(file)
    # a whole number may be a rounded one: TBPM holds no other
    bpm, signature = _bpm(tags.bpm), _signature_of(tags.signature)
    if bpm is not None or signature is not None:
        yield Said("tags", bpm, signature, firm=bpm is not None and bpm != round(bpm))
    if named := NAMED_BPM.search(file.stem):
        yield Said("name", _bpm(named[1].replace(",", ".")), firm=False)


def _bpm(value: Any) -> float | None:
    """A tempo that can be one, else None."""
    try:
        bpm = float(str(value).strip().replace(",", "."))
    except ValueError:
        return None
    return bpm if BPM_RANGE[0] <= bpm <= BPM_RANGE[1] else None


def _signature_of(value: Any) -> Signature | None:
    try:
        return Signature.parse(value)
    except InvalidRequest:
        return None


def _is_sure(measured: Measurement) -> bool:
    return measured.bpm is not None and measured.tempo_confidence >= SURE_TEMPO and measured.steady


def _neat(bpm: float) -> float:
    """A tempo that was heard, rounded as a musician would write it."""
    half = round(2 * bpm) / 2
    return half if abs(bpm / half - 1) < NEAT else round(bpm, 2)

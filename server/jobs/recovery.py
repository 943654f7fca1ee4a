"""What a dead daemon left: half-written files go, its jobs are marked, found done, or made again.

Runs at start, before the worker does.
"""

from collections.abc import Iterable
from pathlib import Path

from acestep.clips.clip import Clip, sweep_unfinished
from acestep.errors import AceStepError
from acestep.sources.sidecar import SIDECAR_ENDING
from server import logs
from server.jobs.journal import JobRecord, Journal
from server.jobs.queue import JobQueue
from server.library.index import ClipLibrary

log = logs.get("recovery")


def sweep(folders: Iterable[Path]) -> None:
    """Clears up half-written files in these folders."""
    swept = 0
    for folder in folders:
        try:
            swept += sweep_unfinished(folder) if folder.is_dir() else 0
        except OSError as error:
            log.warning("folder_not_swept", folder=str(folder), error=str(error))
    if swept:
        log.warning("half_written_files_removed", files=swept)


def recover(journal: Journal, library: ClipLibrary, queue: JobQueue, resume: bool) -> None:
    """Marks the jobs that were cut short. With `resume`, those that are not done are made again."""
    for record in journal.mark_interrupted():
        log.warning("job_was_interrupted", job=record.id, client=record.client)
    cut = journal.interrupted()
    made = _clips_of(cut)
    for record in cut:
        clips = made.get(record.id, [])
        if clips and len(clips) >= record.takes:
            journal.mark_done(record, [clip.path for clip in clips])
            log.info("job_was_done", job=record.id, clips=len(clips))
            continue
        for clip in clips:  # part of a job is no result; whoever wants it finds it in the trash
            if not clip.idea:  # but a part of an idea was delivered, and others can be added
                _put_away(library, clip)
        if resume:
            _make_again(queue, record)


def _make_again(queue: JobQueue, record: JobRecord) -> None:
    try:
        job = record.again()
        queue.submit(job)
        log.info("job_resumed", job=job.id, in_place_of=record.id, client=job.client)
    except AceStepError as error:
        log.error("job_not_resumed", job=record.id, error=str(error))


def _clips_of(records: Iterable[JobRecord]) -> dict[str, list[Clip]]:
    """Clips in the jobs' folders that say they are of these jobs, by job, in order of take."""
    found: dict[str, list[Clip]] = {}
    since: dict[Path, float] = {}
    ids = set()
    for record in records:
        ids.add(record.id)
        since[record.folder] = min(since.get(record.folder, float("inf")), record.created_s)
    for folder, start_s in since.items():
        try:
            sidecars = [file for file in folder.glob(f"[!.]*{SIDECAR_ENDING}") if _changed_s(file) >= start_s]
        except OSError:
            continue
        for sidecar in sidecars:
            try:
                clip = Clip.load(sidecar)
            except AceStepError:
                continue
            if clip.job in ids and Path(clip.path).exists():
                found.setdefault(clip.job, []).append(clip)
    return {job: sorted(clips, key=lambda clip: clip.take) for job, clips in found.items()}


def _changed_s(file: Path) -> float:
    try:
        return file.stat().st_mtime + 2  # some file systems count in steps of two seconds
    except OSError:
        return 0.0


def _put_away(library: ClipLibrary, clip: Clip) -> None:
    try:
        library.add(clip)
        library.move_to_trash(clip.path)
        log.warning("part_of_a_job_trashed", job=clip.job, clip=clip.name)
    except AceStepError as error:
        log.error("part_of_a_job_left", job=clip.job, clip=clip.name, error=str(error))

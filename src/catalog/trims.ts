/**
 * Where a stream's history begins: the trims of its lake. Functions over the catalog; no state here.
 *
 * A trim's row and the deletion of the lake files' rows are one transaction, so a reader of the catalog either finds
 * the files or is told that their events are gone; whoever needs older events asks here and answers HISTORY_TRIMMED
 * instead of a number that lacks them.
 */

import type { CommitSeq, Offset, VersionId } from '../model/cut.ts'
import { RefoldError } from '../model/errors.ts'
import { assert } from '../std/assert.ts'
import { releaseBases } from './bases.ts'
import { appendCut } from './journal.ts'
import { type LakeFileRow, lakeManifest, unlistFiles } from './lake.ts'
import type { Catalog, SqlRow } from './open-catalog.ts'

export interface TrimRow {
  readonly stream: string
  /** Events in commits up to this cut are gone. */
  readonly cut: CommitSeq
  /** How many, over all trims of the stream. */
  readonly events: number
  /** When it was trimmed last. */
  readonly timeMs: number
  readonly reason: string
  /** Per partition the first offset that is still there. */
  readonly offsets: readonly Offset[]
  /** Ingest time of the last event that went; null when it is not known. */
  readonly untilMs: number | null
}

export function trims(catalog: Catalog): readonly TrimRow[] {
  return catalog.all('SELECT * FROM trims ORDER BY stream').map(toTrim)
}

export function trimOf(catalog: Catalog, stream: string): TrimRow | undefined {
  const row = catalog.get('SELECT * FROM trims WHERE stream = ?', stream)
  return row === undefined ? undefined : toTrim(row)
}

/** The trim that took events after `after` which a reader of these streams needs; the latest one of several. */
export function trimmedBeyond(
  catalog: Catalog,
  streams: readonly string[],
  after: CommitSeq,
): TrimRow | undefined {
  return trims(catalog)
    .filter(({ stream, cut }) => streams.includes(stream) && cut > after)
    .sort((a, b) => b.cut - a.cut)[0]
}

/**
 * Trimmed streams that an SQL text may name, so that an answer over them says where they begin. A text test: a stream
 * too many only costs its line.
 */
export function trimmedIn(catalog: Catalog, sql: string): Readonly<Record<string, TrimNote>> {
  const words = sql.toLowerCase()
  return Object.fromEntries(
    trims(catalog)
      .filter(({ stream }) => words.includes(stream.toLowerCase()))
      .map(({ stream, cut, events, untilMs }) => [stream, { cut, events, until: isoTime(untilMs) }]),
  )
}

/** What an answer over a trimmed stream says of it. */
export interface TrimNote {
  readonly cut: CommitSeq
  readonly events: number
  /** Ingest time of the last event that is gone. */
  readonly until: string | null
}

/** `what` is who needs the events: `version "…" of view "…"`. */
export function historyTrimmed(what: string, trim: TrimRow): RefoldError {
  const { stream, cut, events, untilMs, timeMs } = trim
  const until = untilMs === null ? '' : ` of ${new Date(untilMs).toISOString()}`
  return new RefoldError(
    'HISTORY_TRIMMED',
    `${what} needs events of stream "${stream}" up to cut ${cut}${until}, which were trimmed (${events} events)`,
    {
      details: {
        stream,
        cut,
        events,
        until: isoTime(untilMs),
        trimmedAt: new Date(timeMs).toISOString(),
      },
    },
  )
}

export interface Trim {
  readonly stream: string
  readonly cut: CommitSeq
  readonly reason: string
  /** Versions whose state at the cut is a base, each with the slices of it; their older bases are let go. */
  readonly bases: readonly {
    readonly view: string
    readonly version: VersionId
    readonly paths: readonly string[]
  }[]
}

/** Takes the files of a stream up to the cut off the manifest and remembers the trim; answers the files. */
export function recordTrim(catalog: Catalog, { stream, cut, reason, bases }: Trim): readonly LakeFileRow[] {
  const now = catalog.clock.nowMs()
  return catalog.transaction('trim-lake', () => {
    const { through, files } = lakeManifest(catalog)
    const before = trimOf(catalog, stream)
    assert(cut <= through && cut > (before?.cut ?? 0), `stream "${stream}" is trimmed within its lake`)
    const own = files.filter((file) => file.stream === stream)
    assert(
      own.every((file) => file.to <= cut || file.from >= cut),
      `cut ${cut} is a border of the lake files of stream "${stream}"`,
    )
    const gone = own.filter((file) => file.to <= cut)
    unlistFiles(catalog, gone)
    for (const { view, version, paths } of bases) releaseBases(catalog, view, version, new Set(paths))
    const events = (before?.events ?? 0) + gone.reduce((sum, file) => sum + file.rows, 0)
    const offsets = gone.at(-1)?.offsets.map(({ to }) => to) ?? before?.offsets ?? []
    const untilMs = gone.at(-1)?.times?.ingested[1] ?? before?.untilMs ?? null
    catalog.run(
      `INSERT INTO trims (stream, cut, events, time_ms, reason, offsets, until_ms) VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (stream) DO UPDATE SET cut = excluded.cut, events = excluded.events, time_ms = excluded.time_ms,
         reason = excluded.reason, offsets = excluded.offsets, until_ms = excluded.until_ms`,
      stream,
      cut,
      events,
      now,
      reason,
      JSON.stringify(offsets),
      untilMs,
    )
    const promoted = bases.map(({ view, version }) => ({ view, version }))
    const details = {
      ...{ stream, cut, events: events - (before?.events ?? 0), files: gone.length, reason },
      bases: promoted,
    }
    catalog.run(
      'INSERT INTO audit (time_ms, what, details) VALUES (?, ?, ?)',
      now,
      'trim',
      JSON.stringify(details),
    )
    appendCut(catalog, through, 'trim')
    return gone
  })
}

function isoTime(timeMs: number | null): string | null {
  return timeMs === null ? null : new Date(timeMs).toISOString()
}

function toTrim(row: SqlRow): TrimRow {
  return {
    stream: String(row.stream),
    cut: Number(row.cut),
    events: Number(row.events),
    timeMs: Number(row.time_ms),
    reason: String(row.reason),
    offsets: JSON.parse(String(row.offsets)) as readonly Offset[],
    untilMs: row.until_ms === null ? null : Number(row.until_ms),
  }
}

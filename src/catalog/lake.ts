/**
 * The lake's manifest and the dead letters of the commits it holds. Functions over the catalog; no state here.
 * Files, the cut that the lake reaches and the dead letters of the same commits are published in one transaction,
 * so that an event or a dead letter is found exactly once, in the lake's part or in the hot log's.
 */

import { isAbsolute, join, relative } from 'node:path'
import type { CommitSeq, Offset } from '../model/cut.ts'
import { assert } from '../std/assert.ts'
import { appendCut } from './journal.ts'
import type { Catalog, SqlRow } from './open-catalog.ts'

/** A file of the lake (`lake/types.ts` has the same shape). */
export interface LakeFileRow {
  readonly stream: string
  readonly from: CommitSeq
  readonly to: CommitSeq
  /** Absolute; stored relative to the data folder. */
  readonly path: string
  readonly rows: number
  readonly bytes: number
  readonly checksum: number
  readonly offsets: readonly { readonly from: Offset; readonly to: Offset }[]
  readonly fields: readonly string[]
  readonly times?: LakeTimes
}

/** First and last ingest time in ms, and event time in µs where the stream has one. */
export interface LakeTimes {
  readonly ingested: readonly [number, number]
  readonly events?: readonly [number, number]
}

export interface DeadLetterRow {
  readonly commit: CommitSeq
  readonly timeMs: number
  readonly stream: string
  readonly index: number
  readonly code: string
  readonly reason: string
  readonly place: string
  readonly raw: string
}

export interface LakePublication {
  readonly files: readonly LakeFileRow[]
  /** The lake holds every event up to this cut afterwards. */
  readonly through: CommitSeq
  /** Dead letters of the commits that the publication adds. */
  readonly deadLetters: readonly DeadLetterRow[]
}

export function publishLake(catalog: Catalog, publication: LakePublication): void {
  const { files, through, deadLetters } = publication
  const now = catalog.clock.nowMs()
  catalog.transaction('publish-lake', () => {
    const before = lakeManifest(catalog).through
    assert(through > before, `the lake grows from cut ${before}`)
    for (const file of files) {
      assert(
        file.from >= before && file.to <= through,
        `lake file "${file.path}" lies in the range published`,
      )
      insertFile(catalog, file, now)
    }
    for (const letter of deadLetters) {
      assert(letter.commit > before && letter.commit <= through, 'a dead letter lies in the range published')
      insertDeadLetter(catalog, letter)
    }
    catalog.run('UPDATE lake SET through_cut = ?', through)
    appendCut(catalog, through, 'lake')
  })
}

/** The cut up to which the lake has the events. */
export function lakeThrough(catalog: Catalog): CommitSeq {
  return Number(catalog.get('SELECT through_cut FROM lake')?.through_cut ?? 0)
}

export function lakeManifest(catalog: Catalog): {
  readonly through: CommitSeq
  readonly files: readonly LakeFileRow[]
} {
  const through = lakeThrough(catalog)
  const files = catalog
    .all('SELECT * FROM lake_files ORDER BY stream, from_cut')
    .map((row) => toFile(catalog, row))
  return { through, files }
}

/** As a part of the caller's transaction: takes files off the manifest, and remembers to delete them. */
export function unlistFiles(catalog: Catalog, files: readonly LakeFileRow[]): void {
  for (const { path } of files) {
    const changed = catalog.run('DELETE FROM lake_files WHERE path = ?', stored(catalog, path))
    assert(changed === 1, `lake file "${path}" is listed`)
    catalog.run('INSERT INTO lake_leftovers (path) VALUES (?)', stored(catalog, path))
  }
}

/** Files that are no longer listed and not yet deleted: readers may still have them open. */
export function lakeLeftovers(catalog: Catalog): readonly string[] {
  return catalog
    .all('SELECT path FROM lake_leftovers ORDER BY path')
    .map((row) => join(catalog.folder, String(row.path)))
}

export function forgetLeftovers(catalog: Catalog, paths: readonly string[]): void {
  catalog.transaction('publish-lake', () => {
    for (const path of paths) catalog.run('DELETE FROM lake_leftovers WHERE path = ?', stored(catalog, path))
  })
}

/** Puts one file in the place of adjacent ones that hold the same events. */
export function replaceFiles(catalog: Catalog, replaced: readonly LakeFileRow[], merged: LakeFileRow): void {
  catalog.transaction('merge-lake', () => {
    const rows = replaced.reduce((sum, file) => sum + file.rows, 0)
    assert(rows === merged.rows, `merged lake file "${merged.path}" holds ${rows} events`)
    unlistFiles(catalog, replaced)
    insertFile(catalog, merged, catalog.clock.nowMs())
  })
}

/** Sealed dead letters, oldest first. */
export function deadLetters(catalog: Catalog, limit: number): readonly DeadLetterRow[] {
  return catalog.all('SELECT * FROM dead_letters ORDER BY id DESC LIMIT ?', limit).map(toDeadLetter).reverse()
}

export function countDeadLetters(catalog: Catalog): number {
  return Number(catalog.get('SELECT count(*) AS n FROM dead_letters')?.n ?? 0)
}

function insertFile(catalog: Catalog, file: LakeFileRow, now: number): void {
  catalog.run(
    `INSERT INTO lake_files
       (path, stream, from_cut, to_cut, rows, bytes, checksum, offsets, fields, published_ms, times)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    stored(catalog, file.path),
    file.stream,
    file.from,
    file.to,
    file.rows,
    file.bytes,
    file.checksum,
    JSON.stringify(file.offsets),
    JSON.stringify(file.fields),
    now,
    file.times === undefined ? null : JSON.stringify(file.times),
  )
}

function insertDeadLetter(catalog: Catalog, letter: DeadLetterRow): void {
  catalog.run(
    `INSERT INTO dead_letters (commit_seq, time_ms, stream, event_index, code, reason, place, raw)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    letter.commit,
    letter.timeMs,
    letter.stream,
    letter.index,
    letter.code,
    letter.reason,
    letter.place,
    letter.raw,
  )
}

function stored(catalog: Catalog, path: string): string {
  return isAbsolute(path) ? relative(catalog.folder, path) : path
}

function toFile(catalog: Catalog, row: SqlRow): LakeFileRow {
  return {
    stream: String(row.stream),
    from: Number(row.from_cut),
    to: Number(row.to_cut),
    path: join(catalog.folder, String(row.path)),
    rows: Number(row.rows),
    bytes: Number(row.bytes),
    checksum: Number(row.checksum),
    offsets: JSON.parse(String(row.offsets)) as LakeFileRow['offsets'],
    fields: JSON.parse(String(row.fields)) as LakeFileRow['fields'],
    times: row.times === null ? movedAt(row) : (JSON.parse(String(row.times)) as LakeTimes),
  }
}

/** A file that an earlier release wrote: its events came in before it was published. */
function movedAt(row: SqlRow): LakeTimes {
  return { ingested: [Number(row.published_ms), Number(row.published_ms)] }
}

function toDeadLetter(row: SqlRow): DeadLetterRow {
  return {
    commit: Number(row.commit_seq),
    timeMs: Number(row.time_ms),
    stream: String(row.stream),
    index: Number(row.event_index),
    code: String(row.code),
    reason: String(row.reason),
    place: String(row.place),
    raw: String(row.raw),
  }
}

/**
 * How far a file has gone into a stream, kept beside the file, so that `refold ingest` can be stopped at any moment
 * and run again.
 *
 * Why nothing is lost or doubled: `position` only ever covers batches that the server acknowledged. What was sent
 * after it was written, at most a few batches, is sent again, cut at the same places because `batch` is kept too, and
 * so with the same ids or the same idempotency keys: the server's dedupe window recognises it, however long the whole
 * file is. The file is written beside its name, synced and renamed: a crash leaves the older state, which is sound.
 *
 *   field        meaning
 *   format       1
 *   stream       the stream
 *   source       seed of the idempotency keys: a hash of stream and absolute path at the first run
 *   batch        events in a batch
 *   position     bytes of text (after gzip is undone) or rows that the server acknowledged
 *   line         line or row, from 1, at that position
 *   sending      position after the last batch when it was shorter than a full one and not acknowledged yet; a file
 *                that grows must not change where that batch ends
 *   fingerprint  hash of the beginning of the file (of a Parquet file: its footer) as far as `fingerprinted`
 *   log          first event of the stream in the server's log, which tells one log from another; null before it
 *   accepted, duplicates, rejected   counts over all runs
 */

import { createHash } from 'node:crypto'
import { open, readFile, rename } from 'node:fs/promises'
import { RefoldError } from '../model/errors.ts'

export interface IngestProgress {
  readonly format: 1
  readonly stream: string
  readonly source: string
  readonly batch: number
  readonly position: number
  readonly line: number
  readonly sending: number | null
  readonly fingerprint: string
  readonly fingerprinted: number
  readonly log: string | null
  readonly accepted: number
  readonly duplicates: number
  readonly rejected: number
}

export function newProgress(stream: string, path: string, batch: number): IngestProgress {
  return {
    format: 1,
    stream,
    source: createHash('sha256').update(`${stream}\n${path}`).digest('hex').slice(0, 32),
    batch,
    position: 0,
    line: 1,
    sending: null,
    fingerprint: '',
    fingerprinted: 0,
    log: null,
    accepted: 0,
    duplicates: 0,
    rejected: 0,
  }
}

/** Where the progress of `file` into `stream` is kept unless somebody names another place. */
export function progressPath(file: string, stream: string): string {
  return `${file}.${stream}.refold-ingest`
}

export async function readProgress(path: string): Promise<IngestProgress | undefined> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const progress = parse(text)
  if (
    progress?.format !== 1 ||
    !Number.isSafeInteger(progress.position) ||
    typeof progress.source !== 'string'
  ) {
    throw new RefoldError('CLI_FILE_CHANGED', `file "${path}" is not the progress of an ingest`, {
      hint: 'Delete it, or run with --restart, to send the file from its beginning.',
    })
  }
  return progress
}

export async function writeProgress(path: string, progress: IngestProgress): Promise<void> {
  const staged = `${path}.new`
  const handle = await open(staged, 'w')
  try {
    await handle.writeFile(`${JSON.stringify(progress, null, 2)}\n`)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(staged, path)
}

/** The key of the batch that begins at `from`: other content, another place or another file is another key. */
export function batchKey(source: string, from: number, body: Uint8Array): string {
  return createHash('sha256').update(`${source}\n${from}\n`).update(body).digest('hex').slice(0, 32)
}

function parse(text: string): IngestProgress | undefined {
  try {
    return JSON.parse(text) as IngestProgress
  } catch {
    return undefined
  }
}

/** For tests of the log: a stream, requests for it, and a log over the double of the file system. No state. */

import type { StreamDef } from '../model/schema.ts'
import { FaultyFiles } from '../std/faulty-files.ts'
import { ManualClock } from '../std/manual-clock.ts'
import { type CommitLog, type CommitLogOptions, openCommitLog } from './commit-log.ts'
import type { AppendRequest } from './types.ts'

export const LOG_DIR = '/data/log'
export const LOST_DIR = '/data/lost+found'

export const orders: StreamDef = {
  name: 'orders',
  schema: { kind: 'object', fields: [] },
  id: 'id',
  partitions: 2,
  dedupe: { timeMs: 60_000, count: 1000 },
  latenessMs: 0,
}

/** One event for each id, `{"id":…,"v":…}`, in partition 0. */
export function requestOf(ids: readonly string[], value = 0): AppendRequest {
  const events = ids.map((id, index) => {
    return { stream: 'orders', partition: 0, json: `{"id":"${id}","v":${value}}`, id, index }
  })
  return { stream: 'orders', events, deadLetters: [], bytes: 100 * ids.length }
}

export interface TestLog {
  readonly log: CommitLog
  readonly files: FaultyFiles
  readonly clock: ManualClock
}

export async function openTestLog(
  options: Partial<Omit<CommitLogOptions, 'files' | 'clock'>> & {
    readonly files?: FaultyFiles
    readonly clock?: ManualClock
  } = {},
): Promise<TestLog> {
  const files = options.files ?? new FaultyFiles(() => 0)
  const clock = options.clock ?? new ManualClock(1_000_000)
  const log = await openCommitLog({
    dir: LOG_DIR,
    lostFoundDir: LOST_DIR,
    streams: [orders],
    dedupeSeed: '000102030405060708090a0b0c0d0e0f',
    ...options,
    files,
    clock,
  })
  return { log, files, clock }
}

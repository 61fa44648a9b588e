/**
 * A process that folds once and says how long it took: the bulk fold job of a worker, or the plain DuckDB query over
 * the same files. Both open their database, read every file and finish their result; the fold also sorts its partial
 * rows and writes them as synced slices. A fresh process each time, so that neither profits from the other.
 */

import { DuckDBInstance } from '@duckdb/node-api'
import type { CodePlace } from '../src/define/logic-modules.ts'
import type { Job } from '../src/engine/engine.ts'
import { runInWorker } from '../src/engine/run-in-worker.ts'

export type FoldTask =
  | {
      readonly kind: 'fold'
      readonly job: Job
      readonly tempDir: string
      readonly threads: number
      readonly memoryBytes: number
      readonly code?: CodePlace
    }
  | {
      readonly kind: 'plain'
      readonly sql: string
      readonly threads: number
      readonly memoryBytes: number
    }

export interface FoldTime {
  readonly seconds: number
}

process.once('message', async (task: FoldTask) => {
  const startedMs = performance.now()
  if (task.kind === 'fold') {
    await runInWorker(
      task.job,
      {
        memoryBytes: task.memoryBytes,
        threads: task.threads,
        tempDir: task.tempDir,
        ...(task.code === undefined ? {} : { code: task.code }),
      },
      () => {},
    )
  } else {
    const instance = await DuckDBInstance.create(':memory:', {
      threads: String(task.threads),
      memory_limit: `${task.memoryBytes}B`,
    })
    const connection = await instance.connect()
    await connection.run(`CREATE TEMP TABLE result AS ${task.sql}`)
    connection.closeSync()
  }
  const time: FoldTime = { seconds: (performance.now() - startedMs) / 1000 }
  process.send?.(time, () => process.exit(0))
})

/**
 * The same list of a backup without a running server, from a data folder whose lock is free; and the look into a copy:
 * every live version is folded again from its log, or from its base, and compared with what its slices give. State:
 * the opened folder, until the work is done.
 */

import { join } from 'node:path'
import { forgetMissing } from '../../catalog/bases.ts'
import { lakeManifest } from '../../catalog/lake.ts'
import { catalogPath, openCatalog } from '../../catalog/open-catalog.ts'
import { latestStreams } from '../../catalog/streams.ts'
import { readVersion, serving } from '../../catalog/versions.ts'
import { createPastEngine } from '../../engine/past-engine.ts'
import type { CommitLog } from '../../log/commit-log.ts'
import type { CommitSeq, VersionId } from '../../model/cut.ts'
import { defaultIngestLimits } from '../../model/limits.ts'
import { quoteIdentifier } from '../../model/schema.ts'
import { systemClock } from '../../std/clock.ts'
import { realFiles } from '../../std/files.ts'
import { silentLogger } from '../../std/logger.ts'
import { type DataFolder, openDataFolder } from '../data-folder.ts'
import { openProjectLog } from '../open-project-log.ts'
import { PastStates } from '../past/past-states.ts'
import { SourcePins } from '../source-pins.ts'
import type { BackupParts } from './backup-manifest.ts'

const QUEUE_BYTES = 1 << 20
const MEMORY_BYTES = 1 << 30
const QUESTION_MS = 24 * 3_600_000

/** Opens the folder under its lock, for the time of `work`. Throws LOG_LOCKED when a server has it. */
export async function withDataFolder<T>(
  dataDir: string,
  work: (parts: BackupParts & { readonly log: CommitLog }) => Promise<T>,
): Promise<T> {
  const folder: DataFolder = openDataFolder(dataDir, systemClock, silentLogger)
  try {
    const streams = latestStreams(folder.catalog)
    const limits = { ...defaultIngestLimits, queueBytes: QUEUE_BYTES }
    const log = await openProjectLog({ streams, limits }, folder, { clock: systemClock, files: realFiles })
    try {
      const pins = new SourcePins(() => ({ log: log.manifest(), lake: lakeManifest(folder.catalog) }))
      return await work({ catalog: folder.catalog, folder, log, pins, clock: systemClock })
    } finally {
      await log.close()
    }
  } finally {
    folder.close()
  }
}

/** After files were copied to a data folder: slices that did not come along are taken off its catalog. */
export function forgetAbsentSlices(dataDir: string, paths: readonly string[]): void {
  const there = new Set(paths.map((path) => join(dataDir, path)))
  const catalog = openCatalog(catalogPath(dataDir))
  try {
    forgetMissing(catalog, (path) => there.has(path))
  } finally {
    catalog.close()
  }
}

export interface CheckedView {
  readonly view: string
  readonly version: VersionId
  /** Cut up to which its slices reach, at which both were compared. */
  readonly cut: CommitSeq
  readonly rows: number
  /** Rows that only one side has; 0 when they agree. */
  readonly differing: number
}

/**
 * Folds every live version of a folder again and compares it with its slices, at the cut that these reach. `root` is
 * the project's folder, for the packages of logic in TypeScript.
 */
export async function checkFolder(dataDir: string, root = process.cwd()): Promise<readonly CheckedView[]> {
  return await withDataFolder(dataDir, async ({ catalog, folder, pins }) => {
    const past = new PastStates({
      ...{ catalog, pins, logger: silentLogger, streams: () => latestStreams(catalog), writeSkips: () => {} },
      timeoutMs: () => QUESTION_MS,
      engine: createPastEngine({
        ...{ memoryBytes: MEMORY_BYTES, threads: 2, clock: systemClock },
        scratchDir: join(folder.scratch, 'check'),
        code: { folder: folder.code, root },
      }),
    })
    try {
      const checked: CheckedView[] = []
      for (const [view, version] of Object.entries(serving(catalog))) {
        const row = readVersion(catalog, view, version)
        if (row === undefined) continue
        const sliced = past.stateAt(view, version, row.sealed)
        const folded = past.stateAt(view, version, row.sealed, { fromLog: true })
        const sql = differenceSql(row.plan.columns, row.plan.inexact)
        const [rows] = await past.query({ states: { sliced, folded }, statements: [{ sql, limit: 1 }] })
        const [found] = JSON.parse(rows?.json ?? '[]') as { n: number; d: number }[]
        checked.push({
          ...{ view, version, cut: row.sealed },
          rows: Number(found?.n ?? 0),
          differing: Number(found?.d ?? 0),
        })
      }
      return checked
    } finally {
      await past.stop()
    }
  })
}

/** Columns whose values depend on the order of additions are compared to nine digits. */
function differenceSql(
  columns: readonly { readonly name: string }[],
  inexact: readonly { readonly column: string }[],
): string {
  const rounded = new Set(inexact.map(({ column }) => column))
  const list = columns.map(({ name }) => {
    const column = quoteIdentifier(name)
    return rounded.has(name) ? `printf('%.9g', CAST(${column} AS DOUBLE)) AS ${column}` : column
  })
  const side = (name: string) => `SELECT ${list.join(', ')} FROM ${name}`
  return `SELECT (SELECT count(*) FROM sliced) AS n,
    (SELECT count(*) FROM (${side('sliced')} EXCEPT ALL ${side('folded')})) +
    (SELECT count(*) FROM (${side('folded')} EXCEPT ALL ${side('sliced')})) AS d`
}

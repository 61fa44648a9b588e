/** Opens the commit log of a project by what the catalog knows of it. No state. */

import { highestCut } from '../catalog/journal.ts'
import { lakeManifest } from '../catalog/lake.ts'
import { readMeta, setMeta } from '../catalog/meta.ts'
import type { ProjectDef } from '../define/types.ts'
import { type CommitLog, openCommitLog } from '../log/commit-log.ts'
import { type SegmentPolicy, segmentPolicy } from '../run/kappa.ts'
import type { Clock } from '../std/clock.ts'
import type { Files } from '../std/files.ts'
import { randomSeed } from '../std/random.ts'
import type { DataFolder } from './data-folder.ts'

export interface ProjectLogOptions extends Partial<SegmentPolicy> {
  readonly clock: Clock
  readonly files: Files
}

/** The log refuses to start behind a cut that the journal names as durable, or after the lake's. */
export async function openProjectLog(
  project: Pick<ProjectDef, 'streams' | 'limits'>,
  folder: DataFolder,
  options: ProjectLogOptions,
): Promise<CommitLog> {
  const { catalog } = folder
  let dedupeSeed = readMeta(catalog, 'dedupe-seed')
  if (dedupeSeed === undefined) {
    dedupeSeed = randomSeed()
    setMeta(catalog, 'dedupe-seed', dedupeSeed)
  }
  const { rollBytes, rollAgeMs } = { ...segmentPolicy, ...options }
  return await openCommitLog({
    dir: folder.log,
    lostFoundDir: folder.lostAndFound,
    streams: project.streams,
    files: options.files,
    clock: options.clock,
    limits: {
      queueBytes: project.limits.queueBytes,
      segmentBytes: rollBytes,
      segmentAgeMs: rollAgeMs,
    },
    journaled: highestCut(catalog),
    lakeThrough: lakeManifest(catalog).through,
    dedupeSeed,
  })
}

/**
 * Lake files that are no longer listed: deleted once nobody reads them, and whatever a crash kept from being deleted
 * at the next start. Also what the policies know of a stream's files. State: the deletions under way.
 */

import { rmSync } from 'node:fs'
import { forgetLeftovers, type LakeFileRow, lakeLeftovers, lakeManifest } from '../../catalog/lake.ts'
import { RefoldError } from '../../model/errors.ts'
import type { MergeableFile } from '../../run/retention.ts'
import type { ServerContext } from '../context.ts'

/** The files of a stream as the retention policy sees them, oldest first. */
export function filesOf(
  files: readonly LakeFileRow[],
  stream: string,
): readonly (LakeFileRow & MergeableFile)[] {
  return files
    .filter((file) => file.stream === stream)
    .map((file) => ({
      ...file,
      lastMs: file.times?.ingested[1] ?? Number.POSITIVE_INFINITY,
      columns: [...file.fields].sort().join(','),
    }))
}

/** Tells the engine of the manifests of now; resolves when it reads no older ones. */
export async function tellEngine({ supervisor, log, catalog }: ServerContext): Promise<void> {
  const running = supervisor.running
  if (running === undefined) return
  try {
    await running.engine.setSources({ log: log.manifest(), lake: lakeManifest(catalog) })
  } catch (error) {
    // An engine that ended holds no file, and the next one reads the catalog.
    if (!(error instanceof RefoldError && error.code === 'ENGINE_UNAVAILABLE')) throw error
  }
}

/** Deletes what is no longer listed, after everybody who may have it open let go of it. */
export async function deleteLeftovers(context: ServerContext, told: Promise<void>): Promise<void> {
  const paths = lakeLeftovers(context.catalog)
  await told
  await context.pins.quiesce()
  for (const path of paths) rmSync(path, { force: true })
  context.crash('lake.leftovers-deleted')
  if (paths.length > 0) forgetLeftovers(context.catalog, paths)
}

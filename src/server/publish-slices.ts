/**
 * Publishes staged slices: names first, then one catalog transaction, then the engine. Files that are replaced
 * because they are damaged are deleted only then; those that a merge took the place of stay for reads of the past. No
 * state.
 *
 * Why nothing is lost or doubled at any point: until the transaction, the catalog lists the old files, and staged or
 * renamed ones are leftovers; after it, the catalog lists the new ones, and the replaced files are leftovers. The
 * engine swaps between two reads. A publication of an engine that was replaced meanwhile is dropped by its epoch.
 */

import { rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { layerCut } from '../catalog/batches.ts'
import { publishSlices as publishInCatalog, type SlicePublication, slicesOf } from '../catalog/slices.ts'
import { readVersion, sealedCut } from '../catalog/versions.ts'
import type { SliceInfo } from '../engine/engine.ts'
import { publishFile } from '../lake/publish-file.ts'
import type { CommitSeq, VersionId } from '../model/cut.ts'
import { RefoldError } from '../model/errors.ts'
import { randomSeed } from '../std/random.ts'
import type { ServerContext } from './context.ts'

export interface StagedSlices {
  readonly view: string
  readonly version: VersionId
  readonly what: SlicePublication['what']
  /** Paths are staging paths. */
  readonly staged: readonly SliceInfo[]
  readonly replaced: readonly SliceInfo[]
  /** Cut that the version's slices reach afterwards; left out when that does not change. */
  readonly sealed?: CommitSeq
  /** Engine that staged them; without it any may be running. */
  readonly epoch?: number
}

/** Returns false when the slices were dropped because what they belong to is gone. */
export async function publishStagedSlices(
  context: ServerContext,
  publication: StagedSlices,
): Promise<boolean> {
  const { view, version, staged, replaced } = publication
  const outcome = await context.publications.run(async () => {
    if (!stillWanted(context, publication)) return undefined
    context.crash('slices.staged')
    const sealed = publication.sealed ?? sealedCut(context.catalog, view, version) ?? 0
    context.skips.write()
    const published: SliceInfo[] = []
    for (const slice of staged) {
      const path = finalPath(context, slice)
      await publishFile(slice.path, path)
      published.push({ ...slice, path })
    }
    context.crash('slices.renamed')
    publishInCatalog(context.catalog, {
      view,
      version,
      sealed,
      what: publication.what,
      replaced: replaced.map((slice) => slice.path),
      added: published,
    })
    context.crash('slices.published')
    const running = context.supervisor.running
    const slices = slicesOf(context.catalog, view, version)
    const told =
      running === undefined || context.supervisor.viewProgress(view, version) === undefined
        ? Promise.resolve()
        : running.engine.published(view, version, sealed, slices, publishedAs(context, view, version))
    // The message is on its way, in order; waiting for readers to let go of old slices must not hold up others.
    return { told: told.catch((error: unknown) => ignoreEnded(error)) }
  })
  if (outcome === undefined) {
    for (const slice of staged) rmSync(slice.path, { force: true })
    return false
  }
  await outcome.told
  if (publication.what === 'refold') for (const slice of replaced) rmSync(slice.path, { force: true })
  context.crash('slices.replaced-deleted')
  return true
}

/** What the engine has to know of the batch layer that the slices belong to. */
export function publishedAs(
  { catalog }: ServerContext,
  view: string,
  version: VersionId,
): { readonly batch?: CommitSeq } {
  const batch = layerCut(catalog, view, version)
  return batch === undefined ? {} : { batch }
}

function stillWanted(context: ServerContext, publication: StagedSlices): boolean {
  const { view, version, epoch, replaced } = publication
  if (epoch !== undefined && context.supervisor.running?.epoch !== epoch) return false
  const row = readVersion(context.catalog, view, version)
  if (row === undefined || row.state === 'retired' || row.state === 'failed') return false
  const listed = new Set(slicesOf(context.catalog, view, version).map((slice) => slice.path))
  return replaced.every((slice) => listed.has(slice.path))
}

/** A name that no file had before: a range can be folded or merged more than once. */
export function finalPath(context: ServerContext, slice: SliceInfo): string {
  const name = `${slice.from}-${slice.to}-${slice.part}-${slice.version.slice(0, 12)}-${randomSeed().slice(0, 8)}`
  return join(context.folder.slices, basename(slice.view), `${name}.parquet`)
}

/** An engine that ended holds no file, and the next one reads the catalog. */
function ignoreEnded(error: unknown): void {
  if (!(error instanceof RefoldError && error.code === 'ENGINE_UNAVAILABLE')) throw error
}

/**
 * Makes a version's state at a cut a base: slices over exactly (start, cut], their bytes checked, flagged in the
 * catalog. Where no border stands at the cut, the events between the last border and the cut are folded in a worker.
 * No state.
 */

import { join } from 'node:path'
import { publishBase } from '../../catalog/bases.ts'
import { lakeManifest } from '../../catalog/lake.ts'
import { recordSkipped } from '../../catalog/skipped.ts'
import { latestStreams } from '../../catalog/streams.ts'
import type { VersionRow } from '../../catalog/versions.ts'
import type { EngineView, SliceInfo } from '../../engine/engine.ts'
import { JobStalled } from '../../engine/run-job.ts'
import { publishFile } from '../../lake/publish-file.ts'
import type { CommitRange, CommitSeq } from '../../model/cut.ts'
import { RefoldError } from '../../model/errors.ts'
import { sumFile } from '../../std/file-sum.ts'
import { errnoOf } from '../../std/files.ts'
import { randomSeed } from '../../std/random.ts'
import type { ServerContext } from '../context.ts'
import { engineViewOf } from '../engine-spec.ts'
import { slicesByRange } from '../slices-by-range.ts'
import { chainTo } from './trim-needs.ts'

/** A base of more ranges than this is merged into one. */
const RANGES_MAX = 8

/** Answers the paths of the slices that are the version's base at the cut. */
export async function promoteBase(
  context: ServerContext,
  row: VersionRow,
  cut: CommitSeq,
): Promise<readonly string[]> {
  const { catalog } = context
  const damaged = new Set<string>()
  let chain = chainTo(catalog, row, cut, { damaged })
  for (;;) {
    const bad = await firstDamaged(chain.slices)
    if (bad === undefined) break
    damaged.add(bad)
    chain = chainTo(catalog, row, cut, { damaged })
  }
  const staged = chain.border < cut ? await foldOf(context, row, { from: chain.border, to: cut }) : []
  const ranges = slicesByRange([...chain.slices, ...staged])
  const merged = ranges.length > RANGES_MAX ? await mergeOf(context, row, ranges.flat()) : undefined
  const added = await publishAll(context, merged ?? staged)
  const kept = merged === undefined ? chain.slices.map(({ path }) => path) : []
  context.crash('trim.base-renamed')
  const { view, version } = row
  await context.publications.run(async () => publishBase(catalog, { view, version, kept, added }))
  return [...kept, ...added.map(({ path }) => path)]
}

/** The first of these slices whose bytes are not what the catalog lists. */
export async function firstDamaged(slices: readonly SliceInfo[]): Promise<string | undefined> {
  for (const { path, bytes, checksum } of slices) {
    try {
      const found = await sumFile(path)
      if (found.bytes !== bytes || found.checksum !== checksum) return path
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return path
      throw error
    }
  }
  return undefined
}

/** Staged slices of a range, folded from the log. */
export async function foldOf(
  context: ServerContext,
  row: VersionRow,
  range: CommitRange,
): Promise<readonly SliceInfo[]> {
  const { catalog, folder, pins, log } = context
  const { view, version } = row
  try {
    const result = await pins.with(() =>
      context.runJob({
        kind: 'fold',
        view: bareView(context, row),
        streams: streamsOf(context),
        sources: { log: log.manifest(), lake: lakeManifest(catalog) },
        range,
        stagingDir: folder.staging,
      }),
    )
    recordSkipped(
      catalog,
      result.skipped.map((position) => ({ view, version, ...position })),
    )
    return result.slices
  } catch (error) {
    if (!(error instanceof JobStalled)) throw error
    throw new RefoldError(
      'TRIM_REFUSED',
      `version "${version.slice(0, 12)}" of view "${view}" cannot be folded up to cut ${range.to}: ${error.message}`,
      { cause: error },
    )
  }
}

async function mergeOf(
  context: ServerContext,
  row: VersionRow,
  inputs: readonly SliceInfo[],
): Promise<readonly SliceInfo[]> {
  const { folder } = context
  const view = bareView(context, row)
  return (await context.runJob({ kind: 'compact', view, inputs, stagingDir: folder.staging })).slices
}

/** Gives staged slices their names, durably. */
export async function publishAll(
  { folder }: ServerContext,
  staged: readonly SliceInfo[],
): Promise<readonly SliceInfo[]> {
  const published: SliceInfo[] = []
  for (const slice of staged) {
    const name = `${slice.from}-${slice.to}-${slice.part}-${slice.version.slice(0, 12)}-${randomSeed().slice(0, 8)}`
    const path = join(folder.slices, slice.view, `${name}.parquet`)
    await publishFile(slice.path, path)
    published.push({ ...slice, path })
  }
  return published
}

function bareView({ catalog, skips }: ServerContext, row: VersionRow): EngineView {
  skips.write()
  return engineViewOf(catalog, row)
}

/** As the project has them, and those that it has left out. */
function streamsOf({ catalog, streams }: ServerContext) {
  const current = streams()
  const names = new Set(current.map(({ name }) => name))
  return [...current, ...latestStreams(catalog).filter(({ name }) => !names.has(name))]
}

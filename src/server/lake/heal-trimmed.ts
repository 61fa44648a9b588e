/**
 * Heals a version with damaged slices whose oldest events were trimmed: what is whole of its slices, its base above
 * all, is made its chain again, and the rest is folded from the log. When nothing whole reaches the trim's cut the
 * version cannot be healed, and the error says which file has to come back from a backup. No state.
 */

import { restoreChain } from '../../catalog/bases.ts'
import { pastSlicesOf, slicesOf } from '../../catalog/slices.ts'
import type { TrimRow } from '../../catalog/trims.ts'
import { readVersion, type VersionRow } from '../../catalog/versions.ts'
import type { SliceInfo } from '../../engine/engine.ts'
import { RefoldError } from '../../model/errors.ts'
import type { ServerContext } from '../context.ts'
import { setAside } from '../data-folder.ts'
import { firstDamaged, foldOf, publishAll } from './promote-base.ts'
import { chainTo } from './trim-needs.ts'

/** Throws BASE_CORRUPT; anything else may be tried again. */
export async function healTrimmed(
  context: ServerContext,
  row: VersionRow,
  trim: TrimRow,
  bad: readonly SliceInfo[],
): Promise<void> {
  const { catalog, folder, logger, publications, supervisor } = context
  const { view, version, sealed } = row
  const damaged = new Set(bad.map(({ path }) => path))
  let chain = chainTo(catalog, row, sealed, { damaged })
  for (;;) {
    const path = await firstDamaged(chain.slices)
    if (path === undefined) break
    damaged.add(path)
    chain = chainTo(catalog, row, sealed, { damaged })
  }
  if (chain.border < trim.cut) throw baseCorrupt(context, row, trim, damaged)
  const staged = chain.border < sealed ? await foldOf(context, row, { from: chain.border, to: sealed }) : []
  const added = await publishAll(context, staged)
  const told = await publications.run(async () => {
    if (readVersion(catalog, view, version)?.sealed !== sealed) {
      throw new RefoldError('JOB_FAILED', `view "${view}" was sealed while it was healed`)
    }
    const kept = chain.slices.map(({ path }) => path)
    restoreChain(catalog, { view, version, kept, added, damaged: [...damaged], sealed })
    const holds = supervisor.viewProgress(view, version) !== undefined
    const slices = slicesOf(catalog, view, version)
    return {
      published: holds ? supervisor.running?.engine.published(view, version, sealed, slices) : undefined,
    }
  })
  await told.published?.catch(() => {})
  for (const path of damaged) {
    const kept = setAside(folder.lostAndFound, path)
    logger.warn('damaged slice set aside; the state was made again from its base', { view, kept })
  }
}

function baseCorrupt(
  { catalog }: ServerContext,
  { view, version }: VersionRow,
  trim: TrimRow,
  damaged: ReadonlySet<string>,
): RefoldError {
  const slices = pastSlicesOf(catalog, view, version).filter(({ path }) => damaged.has(path))
  const path = (slices.find(({ base }) => base) ?? slices[0])?.path ?? ''
  return new RefoldError(
    'BASE_CORRUPT',
    `base "${path}" of view "${view}" version "${version.slice(0, 12)}" does not match its checksum, and the events of stream "${trim.stream}" up to cut ${trim.cut} were trimmed`,
    {
      hint: `Stop the server, put "${path}" back from a backup, and start it again.`,
      details: { view, version, path, stream: trim.stream, cut: trim.cut },
    },
  )
}

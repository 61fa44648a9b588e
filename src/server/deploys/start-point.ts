/** Where a new version's history begins, as a cut. No state. */

import { lakeManifest } from '../../catalog/lake.ts'
import { trimmedBeyond } from '../../catalog/trims.ts'
import type { NewVersion } from '../../catalog/versions.ts'
import { versionOf } from '../../define/identity.ts'
import type { StartPoint } from '../../deploy/types.ts'
import type { CommitSeq } from '../../model/cut.ts'
import { RefoldError } from '../../model/errors.ts'
import type { ServerContext } from '../context.ts'
import { logEvents } from '../log-events.ts'

/** The cut up to which events are no part of the version. Throws DEPLOY_START. */
export async function startCut(
  context: ServerContext,
  from: StartPoint,
  wanted: NewVersion,
): Promise<CommitSeq> {
  const { commit: durable } = context.log.state().cut
  const cut = await cutOf(context, from, wanted)
  if (cut > durable) {
    throw new RefoldError(
      'DEPLOY_START',
      `view "${wanted.view}" cannot begin at cut ${cut}: the log ends at cut ${durable}`,
    )
  }
  return cut
}

/**
 * The version that an asked one is when its history begins at a cut. Over less of history the same logic gives other
 * rows, so it is another version: what either reported is given again whatever is deployed later.
 */
export function begunAt(asked: NewVersion, start: CommitSeq): NewVersion {
  if (start === 0 || asked.identity === undefined) return { ...asked, start }
  const identity = { ...asked.identity, start }
  return { ...asked, version: versionOf(identity), identity, start }
}

async function cutOf(context: ServerContext, from: StartPoint, wanted: NewVersion): Promise<CommitSeq> {
  const { streams } = wanted.plan
  switch (from.kind) {
    case 'zero':
      return 0
    case 'trimmed':
      return trimmedBeyond(context.catalog, streams, 0)?.cut ?? 0
    case 'cut':
      return from.cut
    case 'offset':
      return await cutBefore(context, streams[0] ?? '', from)
    case 'time':
      return await cutBefore(context, streams[0] ?? '', from)
  }
}

/** The cut just before the first commit with this offset or this ingest time. */
async function cutBefore(
  context: ServerContext,
  stream: string,
  from: Extract<StartPoint, { kind: 'offset' | 'time' }>,
): Promise<CommitSeq> {
  const { reader, pins, catalog } = context
  return await pins.with(async ({ log }) => {
    const through = lakeManifest(catalog).through
    const hot =
      from.kind === 'offset'
        ? await reader.cutBeforeOffset(log, stream, from.partition, from.offset)
        : await reader.cutBeforeTime(log, from.timeMs)
    if (hot > through) return hot
    const request = {
      stream,
      from,
      follow: false,
      limit: 1,
      ...(from.kind === 'offset' ? { partition: from.partition } : {}),
    }
    for await (const event of logEvents(context, request)) return event.commit - 1
    return Math.max(hot, through)
  })
}

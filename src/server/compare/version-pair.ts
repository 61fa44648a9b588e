/** Which versions a person means, and at which cut they can be compared. Functions over the catalog; no state. */

import { serving, type VersionRow, type VersionState, versions } from '../../catalog/versions.ts'
import type { CommitSeq, VersionId } from '../../model/cut.ts'
import { RefoldError } from '../../model/errors.ts'
import { nearestName } from '../../std/nearest-name.ts'
import type { ServerContext } from '../context.ts'

/** States of a version that may take over, the nearest to it first. */
const coming: readonly VersionState[] = ['verified', 'shadow', 'catching_up', 'building']

export interface VersionPair {
  readonly from: VersionId
  readonly to: VersionId
}

/**
 * Left out: the version that serves against the one being deployed; without a deploy the warm one, which served
 * before, against the one that serves.
 */
export function versionPair(
  context: ServerContext,
  view: string,
  asked: { readonly from?: string; readonly to?: string },
): VersionPair {
  const known = versionsOf(context, view)
  const live = serving(context.catalog)[view]
  const named = (text: string | undefined) =>
    text === undefined ? undefined : versionNamed(view, known, text).version
  const [from, to] = [named(asked.from), named(asked.to)]
  if (from !== undefined && to !== undefined) return { from, to }
  const newest = (states: readonly VersionState[]): VersionId | undefined =>
    states
      .flatMap((state) => known.filter((row) => row.state === state).reverse())
      .find(({ version }) => version !== live && version !== from && version !== to)?.version
  const next = newest(coming)
  if (to !== undefined) {
    const before = to === live ? newest(['warm', 'retired']) : live
    if (before !== undefined) return { from: before, to }
  } else if (from !== undefined) {
    const after = from === live ? next : live
    if (after !== undefined) return { from, to: after }
  } else if (live !== undefined) {
    if (next !== undefined) return { from: live, to: next }
    const before = newest(['warm'])
    if (before !== undefined) return { from: before, to: live }
  }
  throw new RefoldError('VERSION_UNKNOWN', `view "${view}" has no second version to compare with`, {
    hint: 'Deploy a changed view, or name two versions with from and to; `refold.versions` lists them.',
  })
}

export function versionsOf(context: ServerContext, view: string): readonly VersionRow[] {
  const all = versions(context.catalog)
  const own = all.filter((row) => row.view === view)
  if (own.length > 0) return own
  const near = nearestName(
    view,
    all.map((row) => row.view),
  )
  throw new RefoldError('VIEW_UNKNOWN', `there is no view "${view}"`, {
    ...(near === undefined ? {} : { hint: `Did you mean "${near}"?` }),
  })
}

/** A version by its id or the first digits of it. */
export function versionNamed(view: string, known: readonly VersionRow[], text: string): VersionRow {
  const found = known.filter(({ version }) => version.startsWith(text))
  const [only] = found
  if (only !== undefined && found.length === 1 && text !== '') return only
  const ids = known.map(({ version }) => version.slice(0, 12)).join(', ')
  const what = found.length > 1 ? `has several versions that begin with` : 'has no version'
  throw new RefoldError('VERSION_UNKNOWN', `view "${view}" ${what} "${text}"`, {
    hint: `Its versions are ${ids}.`,
  })
}

/** The newest cut at which all of these stand, or the one that was asked for. */
export function comparableCut(
  context: ServerContext,
  view: string,
  of: readonly VersionId[],
  asked: CommitSeq | undefined,
): CommitSeq {
  const durable = context.log.state().cut.commit
  if (asked !== undefined) {
    if (asked <= durable) return asked
    throw new RefoldError('CUT_NOT_REACHED', `the log stands at cut ${durable}, not at cut ${asked}`)
  }
  // An event that a fold fails on is known once the version has ticked over it.
  const reached = of.map((version) => context.supervisor.viewProgress(view, version)?.cut ?? durable)
  return Math.min(durable, ...reached)
}

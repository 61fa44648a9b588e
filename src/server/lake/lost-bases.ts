/** Readers of a view whose base is damaged beyond healing are told so, instead of waiting for it. No state. */

import { serving } from '../../catalog/versions.ts'
import type { ServerContext } from '../context.ts'

/** Throws BASE_CORRUPT for a view, or for every view that an SQL text names. */
export function refuseLostBase(
  { lostBases, catalog, supervisor }: ServerContext,
  asked: { readonly view: string; readonly version?: string | undefined } | { readonly sql: string },
): void {
  if (lostBases.size === 0) return
  const pointers = serving(catalog)
  for (const [key, error] of lostBases) {
    const [view = '', version = ''] = key.split('@')
    const wanted = 'view' in asked ? (asked.version ?? pointers[view]) : pointers[view]
    const named = 'view' in asked ? asked.view === view : asked.sql.toLowerCase().includes(view.toLowerCase())
    if (named && wanted === version && supervisor.viewProgress(view, version) === undefined) throw error
  }
}

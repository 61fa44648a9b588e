/** How far the views that answer are behind the log. No state. */

import type { ServerContext } from '../context.ts'

/** Age of the oldest event that some view's answer lacks; views that stand still on an event are left out. */
export function liveLagMs(context: ServerContext): number {
  const { supervisor, history, clock } = context
  const progress = supervisor.progress
  if (progress === undefined) return 0
  const pointers = context.serving()
  let least = Number.POSITIVE_INFINITY
  for (const { view, version, cut, stalled, paused } of progress.views) {
    const goesOn = stalled === undefined && paused === undefined
    if (goesOn && pointers[view] === version && cut < least) least = cut
  }
  return least === Number.POSITIVE_INFINITY ? 0 : history.lagMs(least, clock.nowMs())
}

/**
 * Which view the engine dies of: engines that die are held against what they were doing, and against how far views
 * had come. State: by view and kind of work, how often in a row an engine died of it without getting past it.
 *
 * Two deaths in a row make the next engine a careful one: it folds view by view and answers nobody until all have
 * caught up, so that a query that kills is not taken for a view that does. A third death at the same work names it.
 * Somebody who kills healthy engines at random does not get there: a view that got past where one died counts anew, and
 * so does an image or a seal that went well.
 */

import type { ViewProgress } from '../engine/engine.ts'
import { type LastWork, type Work, workKey } from '../engine/work-mark.ts'

const DEATHS_CAREFUL = 2
const DEATHS_NAMED = 3

interface Streak {
  readonly work: Work
  deaths: number
  /** The furthest that any of them would have reached. */
  through: number
}

export interface Culprit {
  readonly work: Work
  readonly deaths: number
}

export class CrashLoop {
  readonly #streaks = new Map<string, Streak>()
  #unnamed = 0

  /** Whether the next engine goes view by view. */
  get careful(): boolean {
    return (
      this.#unnamed >= DEATHS_CAREFUL ||
      [...this.#streaks.values()].some(({ deaths }) => deaths >= DEATHS_CAREFUL)
    )
  }

  /** An engine died at this work; answers which view it dies of, once that is known. */
  died({ works, done }: LastWork, careful: boolean): Culprit | undefined {
    if (works.length === 0) this.#unnamed++
    for (const key of done) this.#streaks.delete(key)
    const streaks = works.map((work) => this.#count(work))
    const worst = streaks.sort((a, b) => b.deaths - a.deaths)[0]
    if (worst === undefined || worst.deaths < DEATHS_NAMED) return undefined
    const { work, deaths } = worst
    const isBackground = work.kind === 'image' || work.kind === 'seal'
    return careful || isBackground ? { work, deaths } : undefined
  }

  /** What a living engine reports. */
  progressed(views: readonly Pick<ViewProgress, 'view' | 'version' | 'cut'>[]): void {
    if (this.#streaks.size === 0) return
    for (const [key, { work, through }] of this.#streaks) {
      const own = views.find(({ view, version }) => view === work.view && version === work.version)
      if (own === undefined) continue
      if (work.kind === 'load' || (work.kind === 'fold' && own.cut >= through)) this.#streaks.delete(key)
    }
  }

  /** An engine has run for long enough, or a careful one has caught up. */
  healthy(): void {
    this.#unnamed = 0
  }

  /** The view begins anew: it was paused, or somebody wants it folded again. */
  forget(view: string, version: string): void {
    for (const [key, { work }] of this.#streaks) {
      if (work.view === view && work.version === version) this.#streaks.delete(key)
    }
  }

  #count(work: Work): Streak {
    const key = workKey(work)
    const streak = this.#streaks.get(key) ?? { work, deaths: 0, through: 0 }
    streak.deaths++
    streak.through = Math.max(streak.through, work.to)
    this.#streaks.set(key, streak)
    return streak
  }
}

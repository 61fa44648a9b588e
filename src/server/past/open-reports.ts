/** The report journal of a data folder, with its tail. No state. */

import type { Serving } from '../../catalog/versions.ts'
import type { Clock } from '../../std/clock.ts'
import type { DataFolder } from '../data-folder.ts'
import { ReportJournal } from './report-journal.ts'
import { openReportTail } from './report-tail.ts'

export function openReports(folder: DataFolder, clock: Clock, serving: () => Serving): ReportJournal {
  return new ReportJournal({ catalog: folder.catalog, clock, serving, tail: openReportTail(folder.root) })
}

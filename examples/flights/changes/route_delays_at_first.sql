-- The same change as somebody wrote it at first. It looks right, and is wrong: the average is now that of late flights
-- alone. The check of the project holds it at the gate.
SELECT origin, destination,
       count(*) AS flights,
       coalesce(sum(delay) FILTER (WHERE delay > 0), 0) AS delay_total,
       avg(delay) FILTER (WHERE delay > 0) AS delay_average,
       max(greatest(delay, 0)) AS delay_max,
       count(*) FILTER (WHERE delay > 15) AS late
FROM flights
GROUP BY origin, destination

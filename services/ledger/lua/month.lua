-- Count a month whose rows the journal may no longer have into a total, once; 0 if the book is
-- held by another rebuild.
-- KEYS: the tenant's mark, the scope's hash. ARGV: the name of the rebuild, start of the month,
-- what it cost, how much of it was replayed.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local counted = 'c' .. ARGV[2]
if redis.call('HEXISTS', KEYS[2], counted) == 1 then return 1 end
redis.call('HSET', KEYS[2], counted, ARGV[3])
local missing = tonumber(ARGV[3]) - tonumber(ARGV[4])
if missing > 0 then redis.call('HINCRBY', KEYS[2], 't0', missing) end
return 1

-- Open a book that a rebuild holds; 0 if it is held by another.
-- KEYS: the tenant's mark. ARGV: the name of the rebuild, the mark of an open book.
local mark = redis.call('GET', KEYS[1])
if mark == ARGV[2] then return 1 end
if mark ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1

/*
 * hnsw_check.c
 *	  The verifier: README.md section 3, invariant by invariant.
 *
 * Reads the index page by page with the lock of a reader, so inserts go on; what
 * refers to another page is looked up there at once.  A write that falls between
 * the two looks can make a sound index seem broken: what concerns two pages is
 * therefore looked at again before it is reported.  A VACUUM going on shows as
 * I5, as the invariant says.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/rel.h"

#include "hnsw/hnsw.h"

typedef struct HnswVerifier
{
	HnswIndex	index;
	AnnCheck   *check;
	uint64		live;
	/* Where neighbours have codes: that of the element looked at last, and a node decoded. */
	void	   *code;
	float	   *host;
	/* Where we are. */
	BlockNumber blkno;
	OffsetNumber offset;
} HnswVerifier;

/* What there is to know of an item. */
typedef struct Look
{
	int			kind;			/* 0: nothing there */
	int			level;
	int			flags;
	int			places;
	int			nlinks;
	HnswItem	links[(HNSW_MAX_LEVEL + 1) * HNSW_MAX_PARTS];
	HnswItem	postings;
	HnswItem	next;
	HnswNode	owner;
	HnswItem	value;
} Look;

static void
report(HnswVerifier *verifier, const char *invariant, const char *what, HnswItem item)
{
	AnnCheckReport(verifier->check, invariant, verifier->blkno, verifier->offset,
				   "%s (%u,%u)", what,
				   HnswItemBlock(&verifier->index, item), HnswItemOffset(&verifier->index, item));
}

/* Looks at an item of a locked page, without trusting it. */
static Look
look_at(HnswVerifier *verifier, Page page, OffsetNumber offset)
{
	const HnswShape *shape = &verifier->index.shape;
	Look		look = {0};
	ItemId		id;
	Size		size;
	HnswItemData *item;

	if (!AnnPageIs(page, HNSW_PAGE_ITEMS) || offset > PageGetMaxOffsetNumber(page))
		return look;
	id = PageGetItemId(page, offset);
	size = ItemIdGetLength(id);
	if (!ItemIdIsNormal(id) || ItemIdGetOffset(id) < SizeOfPageHeaderData ||
		ItemIdGetOffset(id) + size > BLCKSZ - MAXALIGN(sizeof(AnnPageOpaqueData)))
		return look;

	item = (HnswItemData *) PageGetItem(page, id);
	if (item->kind == HNSW_ELEMENT && size >= HnswElementSize(shape, 0, 0) &&
		((HnswElement) item)->level <= shape->max_level &&
		size >= HnswElementSize(shape, ((HnswElement) item)->level, 0))
	{
		HnswElement element = (HnswElement) item;

		look.kind = HNSW_ELEMENT;
		look.level = element->level;
		look.flags = element->flags;
		look.nlinks = HnswCountLinks(shape, element->level);
		memcpy(look.links, element->links, look.nlinks * sizeof(HnswItem));
		look.postings = element->postings;
		if (shape->stored && size == HnswElementSize(shape, look.level, shape->code_size))
			look.value = HnswElementValue(shape, element);
		if (verifier->code != NULL && size == HnswElementSize(shape, look.level, shape->code_size))
			memcpy(verifier->code, HnswElementCode(shape, element), shape->code_size);
	}
	else if (item->kind == HNSW_LINKS && size >= sizeof(HnswLinksData))
	{
		look.kind = HNSW_LINKS;
		look.level = ((HnswLinks) item)->level;
		look.places = ((HnswLinks) item)->places;
		look.owner = ((HnswLinks) item)->owner;
	}
	else if (item->kind == HNSW_POSTINGS && size >= HnswPostingsSize(0))
	{
		look.kind = HNSW_POSTINGS;
		look.next = ((HnswPostings) item)->next;
		look.owner = ((HnswPostings) item)->owner;
	}
	return look;
}

/* Does an element name links as its own? */
static bool
names_links(const Look *element, HnswItem links)
{
	for (int i = 0; i < element->nlinks; i++)
		if (element->links[i] == links)
			return true;
	return false;
}

/* Looks at an item anywhere in the index. */
static Look
look_up(HnswVerifier *verifier, HnswItem item)
{
	Look		look = {0};
	BlockNumber blkno = HnswItemBlock(&verifier->index, item);
	Buffer		buf;

	if (item == HNSW_NO_ITEM || blkno == ANN_METAPAGE_BLKNO ||
		blkno >= RelationGetNumberOfBlocks(verifier->index.rel))
		return look;

	buf = ReadBuffer(verifier->index.rel, blkno);
	LockBuffer(buf, BUFFER_LOCK_SHARE);
	look = look_at(verifier, BufferGetPage(buf), HnswItemOffset(&verifier->index, item));
	UnlockReleaseBuffer(buf);
	return look;
}

static void
check_tid(HnswVerifier *verifier, const ItemPointerData *tid)
{
	if (!AnnCheckTid(verifier->check, tid))
		AnnCheckReport(verifier->check, "I9", verifier->blkno, verifier->offset,
					   "heap TID (%u,%u) occurs twice",
					   ItemPointerGetBlockNumberNoCheck(tid), ItemPointerGetOffsetNumberNoCheck(tid));
}

/*
 * Walks the chain of postings of a node from the first to the one wanted, or with
 * HNSW_NO_ITEM to the end; false if it does not get there.
 */
static bool
chain_leads(HnswVerifier *verifier, HnswNode node, HnswItem first, HnswItem wanted)
{
	uint64		most = (uint64) RelationGetNumberOfBlocks(verifier->index.rel) * verifier->index.slots;
	HnswItem	item = first;

	while (item != wanted)
	{
		Look		look = look_up(verifier, item);

		CHECK_FOR_INTERRUPTS();
		if (look.kind != HNSW_POSTINGS || look.owner != node || most-- == 0)
			return false;
		item = look.next;
	}
	return true;
}

/*
 * Checks of one kind of item.  data is a copy; what it refers to is looked up.
 */

/* VACUUM removes those of a dead element one by one. */
static void
check_own_links(HnswVerifier *verifier, HnswNode node, HnswElement element, int level, int i)
{
	HnswItem	item = element->links[i];
	Look		links = look_up(verifier, item);
	Look		now;

	if ((item == HNSW_NO_ITEM && (element->flags & HNSW_DEAD)) ||
		(links.kind == HNSW_LINKS && links.owner == node && links.level == level))
		return;

	now = look_up(verifier, node);
	if (names_links(&now, item))
		report(verifier, "I3", "an element's links are not its own", item);
}

/* The value of a live element, of the right size; an insert may not have come to store it. */
static void
check_value(HnswVerifier *verifier, HnswNode node, HnswElement element)
{
	HnswIndex  *index = &verifier->index;
	HnswItem	value = HnswElementValue(&index->shape, element);
	AnnPlace	place = HnswValuePlace(index, value, node);
	Look		now;

	if (value == HNSW_NO_ITEM ||
		AnnStoreSound(&index->store, &place, HnswElementCode(&index->shape, element)))
		return;

	now = look_up(verifier, node);
	if (now.kind == HNSW_ELEMENT && !(now.flags & HNSW_DEAD) && now.value == value)
		report(verifier, "I10", "the value of an element is not where it should be", node);
}

static void
check_element(HnswVerifier *verifier, HnswNode node, HnswElement element, Size size)
{
	const AnnSpace *space = &verifier->index.space;
	const HnswShape *shape = &verifier->index.shape;
	Size		code_size = size - HnswElementSize(shape, element->level, 0);
	bool		dead = (element->flags & HNSW_DEAD) != 0;

	if (space->code_size > 0 && code_size != space->code_size)
		report(verifier, "I2", "the size of an element is wrong", node);
	else if (!AnnSpaceValid(space, HnswElementCode(shape, element), code_size))
		report(verifier, "I7", "the code of an element is not a value of the index", node);

	for (int i = 0; i < HnswCountLinks(shape, element->level); i++)
		check_own_links(verifier, node, element, i / HnswParts(shape, element->level), i);

	if (!chain_leads(verifier, node, element->postings, HNSW_NO_ITEM) &&
		look_up(verifier, node).postings == element->postings)
		report(verifier, "I4", "the chain of an element's heap TIDs is broken", element->postings);

	if (dead)
	{
		if (ItemPointerIsValid(&element->tid) || element->postings != HNSW_NO_ITEM)
			report(verifier, "I8", "a dead element has heap TIDs", node);
		return;
	}

	verifier->live++;
	if (shape->stored && code_size == space->code_size)
		check_value(verifier, node, element);
	if (ItemPointerIsValid(&element->tid))
		check_tid(verifier, &element->tid);
	else if (element->postings == HNSW_NO_ITEM)
		report(verifier, "I8", "a live element has no heap TID", node);
}

/* Is a neighbour still in a list, of which we have a copy? */
static bool
still_linked(HnswVerifier *verifier, HnswItem item, HnswNode owner, HnswNode neighbour)
{
	HnswLinks	now = HnswReadLinks(&verifier->index, item, owner);
	bool		found = false;

	if (now == NULL)
		return false;
	for (int i = 0; i < now->count; i++)
		found |= HnswViewLinks(now).nodes[i] == neighbour;
	pfree(now);
	return found;
}

/* The owner of the list has been decoded, if neighbours have codes. */
static void
check_neighbour(HnswVerifier *verifier, HnswItem item, HnswLinks links, const HnswLinksView *view, int i)
{
	const HnswShape *shape = &verifier->index.shape;
	const char *invariant = "I5";
	const char *what = NULL;
	HnswNode	node = view->nodes[i];
	Look		neighbour;

	for (int j = 0; j < i; j++)
		if (node == view->nodes[j])
			report(verifier, "I6", "a list has a neighbour twice", node);
	if (node == links->owner)
		report(verifier, "I6", "a node is its own neighbour", links->owner);

	neighbour = look_up(verifier, node);
	if (neighbour.kind != HNSW_ELEMENT)
		what = "a link leads to no element";
	else if (neighbour.level < links->level)
		what = "a link leads to an element of a lower level";
	else if (neighbour.flags & HNSW_DEAD)
		what = "a link leads to a dead element";
	else if (shape->near_size > 0 &&
			 !AnnNearValid(&verifier->index.space, verifier->host, verifier->code,
						   view->codes + i * shape->near_size))
	{
		invariant = "I7";
		what = "the code of a neighbour is not that of its node";
	}

	if (what != NULL && still_linked(verifier, item, links->owner, node))
		report(verifier, invariant, what, node);
}

static void
check_links(HnswVerifier *verifier, HnswItem item, HnswLinks links, Size size)
{
	const HnswShape *shape = &verifier->index.shape;
	Look		owner = look_up(verifier, links->owner);
	Look		now;
	HnswLinksView view;

	if (links->level > shape->max_level || size != HnswLinksSize(shape, links->places) ||
		links->count > links->places)
	{
		report(verifier, "I2", "the size of a node's links does not fit their places", item);
		return;
	}
	if ((owner.kind != HNSW_ELEMENT || !names_links(&owner, item)) &&
		look_up(verifier, item).owner == links->owner)
	{
		report(verifier, "I4", "links belong to no element", item);
		return;
	}
	now = look_up(verifier, item);
	if (links->places != HnswPlaces(shape, owner.level) && now.owner == links->owner &&
		now.places == links->places)
	{
		report(verifier, "I2", "a node of its level has other places for neighbours", item);
		return;
	}
	if (owner.flags & HNSW_DEAD)
		return;

	if (shape->near_size > 0)
		AnnSpaceDecode(&verifier->index.space, verifier->code, verifier->host);
	view = HnswViewLinks(links);
	for (int i = 0; i < links->count; i++)
		check_neighbour(verifier, item, links, &view, i);
	for (int i = links->count; i < links->places; i++)
		if (HnswIsChosen(&view, i))
		{
			report(verifier, "I6", "a place without a neighbour is chosen", item);
			break;
		}
}

static void
check_postings(HnswVerifier *verifier, HnswItem item, HnswPostings postings, Size size)
{
	Look		owner = look_up(verifier, postings->owner);

	if (postings->count > HnswPostingsCapacity(size))
	{
		report(verifier, "I2", "there are more heap TIDs than room for them", item);
		return;
	}
	if ((owner.kind != HNSW_ELEMENT || !chain_leads(verifier, postings->owner, owner.postings, item)) &&
		look_up(verifier, item).owner == postings->owner)
		report(verifier, "I4", "heap TIDs belong to no element", item);

	for (int i = 0; i < postings->count; i++)
		check_tid(verifier, &postings->tids[i]);
}

static void
check_item(HnswVerifier *verifier, Page page)
{
	HnswItem	item = HnswItemNumber(&verifier->index, verifier->blkno, verifier->offset);
	ItemId		id = PageGetItemId(page, verifier->offset);
	Look		look = look_at(verifier, page, verifier->offset);
	void	   *data;

	if (!ItemIdIsUsed(id))
		return;
	if (look.kind == 0)
	{
		report(verifier, "I2", "an item is of no known kind, or cut off", item);
		return;
	}

	data = PageGetItem(page, id);
	if (look.kind == HNSW_ELEMENT)
		check_element(verifier, item, data, ItemIdGetLength(id));
	else if (look.kind == HNSW_LINKS)
		check_links(verifier, item, data, ItemIdGetLength(id));
	else
		check_postings(verifier, item, data, ItemIdGetLength(id));
}

/* Is a value, of which we have a copy, still there? */
static bool
still_stored(HnswVerifier *verifier, const AnnStoredData *part)
{
	Buffer		buf = ReadBuffer(verifier->index.rel, verifier->blkno);
	AnnStored	now;
	Size		size;
	bool		damaged;
	bool		same;

	LockBuffer(buf, BUFFER_LOCK_SHARE);
	now = AnnPageGetItem(BufferGetPage(buf), verifier->offset, sizeof(AnnStoredData), &size, &damaged);
	same = now != NULL && memcmp(now, part, sizeof(AnnStoredData)) == 0;
	UnlockReleaseBuffer(buf);
	return same;
}

/* The owner of a value is written before it, and removed after it. */
static void
check_stored(HnswVerifier *verifier, Page page)
{
	Size		size;
	bool		damaged;
	AnnStored	part = AnnPageGetItem(page, verifier->offset, sizeof(AnnStoredData) + 1, &size, &damaged);

	if (damaged)
		AnnCheckReport(verifier->check, "I2", verifier->blkno, verifier->offset, "the size of a value is wrong");
	if (part != NULL &&
		look_up(verifier, HnswPlaceItem(&verifier->index, &part->owner)).kind != HNSW_ELEMENT &&
		still_stored(verifier, part))
		AnnCheckReport(verifier->check, "I10", verifier->blkno, verifier->offset, "a value belongs to no element");
}

/* Checks a page, of which it takes a copy. */
static void
check_page(HnswVerifier *verifier, PGAlignedBlock *copy, BufferAccessStrategy strategy)
{
	Buffer		buf = ReadBufferExtended(verifier->index.rel, MAIN_FORKNUM, verifier->blkno,
										 RBM_NORMAL, strategy);
	Page		page = (Page) copy->data;
	bool		values;
	int			count;

	LockBuffer(buf, BUFFER_LOCK_SHARE);
	memcpy(copy->data, BufferGetPage(buf), BLCKSZ);
	UnlockReleaseBuffer(buf);

	if (AnnPageIsUnused(page))
		return;

	values = HnswHasValues(&verifier->index, page);
	count = PageGetMaxOffsetNumber(page);
	verifier->offset = InvalidOffsetNumber;
	if (!values && (!AnnPageIs(page, HNSW_PAGE_ITEMS) || count > verifier->index.slots))
	{
		AnnCheckReport(verifier->check, "I2", verifier->blkno, InvalidOffsetNumber,
					   "the page is not one of items");
		return;
	}

	for (verifier->offset = FirstOffsetNumber; verifier->offset <= count; verifier->offset++)
		if (values)
			check_stored(verifier, page);
		else
			check_item(verifier, page);
}

static void
check_entry(HnswVerifier *verifier)
{
	HnswNode	entry;
	int			level;
	Look		look;

	verifier->blkno = ANN_METAPAGE_BLKNO;
	verifier->offset = InvalidOffsetNumber;
	if (!HnswReadEntry(&verifier->index, &entry, &level))
	{
		if (verifier->live > 0 && !HnswReadEntry(&verifier->index, &entry, &level))
			AnnCheckReport(verifier->check, "I1", ANN_METAPAGE_BLKNO, InvalidOffsetNumber,
						   "there are elements, but no entry point");
		return;
	}

	look = look_up(verifier, entry);
	if (look.kind != HNSW_ELEMENT || look.level != level)
		report(verifier, "I1", "the entry point is not an element of its level", entry);
}

void
HnswCheckIndex(Relation rel, AnnCheck *check)
{
	HnswVerifier verifier = {.check = check};
	PGAlignedBlock *copy = palloc(sizeof(PGAlignedBlock));
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);

	/* It is the metapage as it is that counts, not what is remembered of it. */
	AnnForgetCache(rel);
	HnswOpen(&verifier.index, rel);

	if (verifier.index.shape.near_size > 0)
	{
		verifier.code = palloc(verifier.index.shape.code_size);
		verifier.host = palloc(sizeof(float) * verifier.index.space.rotated_dim);
	}

	for (verifier.blkno = ANN_METAPAGE_BLKNO + 1; verifier.blkno < nblocks; verifier.blkno++)
	{
		CHECK_FOR_INTERRUPTS();
		check_page(&verifier, copy, strategy);
	}
	check_entry(&verifier);

	FreeAccessStrategy(strategy);
	pfree(copy);
}

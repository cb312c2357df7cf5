/*
 * am_open.c
 *	  Opening the index that an SQL function is given.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/index.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "am/am.h"

void
AnnOpen(AnnOpened *opened, Oid relid)
{
	Oid			heapid = IndexGetRelation(relid, true);

	opened->nest_level = 0;
	if (!OidIsValid(heapid) || get_rel_relkind(relid) != RELKIND_INDEX)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("relation with OID %u is not an index with storage", relid)));

	if (pg_class_aclcheck(heapid, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(heapid));

	/* in the order everybody else takes them */
	opened->heap = table_open(heapid, AccessShareLock);
	opened->index = index_open(relid, AccessShareLock);

	/* Without a lock, this can have become the index of another table. */
	if (opened->index->rd_index->indrelid != heapid)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("index \"%s\" was dropped meanwhile", RelationGetRelationName(opened->index))));

	opened->method = AnnFindMethod(opened->index);
	if (opened->method == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not an index of this extension",
						RelationGetRelationName(opened->index))));

	if (RELATION_IS_OTHER_TEMP(opened->index))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot read temporary indexes of other sessions")));
}

/*
 * As whenever indexes are maintained.  Nobody runs what others wrote with rights
 * of his own; nor with those of the owner what he wrote himself: a function of the
 * owner's must not come upon it by the search path of a reader.
 */
void
AnnBecomeOwner(AnnOpened *opened)
{
	Oid			owner = opened->heap->rd_rel->relowner;

	GetUserIdAndSecContext(&opened->user, &opened->security);
	SetUserIdAndSecContext(owner, opened->security | SECURITY_RESTRICTED_OPERATION);
	opened->nest_level = NewGUCNestLevel();
	if (!has_privs_of_role(opened->user, owner))
		(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

void
AnnClose(AnnOpened *opened)
{
	if (opened->nest_level > 0)
	{
		AtEOXact_GUC(false, opened->nest_level);
		SetUserIdAndSecContext(opened->user, opened->security);
	}
	index_close(opened->index, AccessShareLock);
	table_close(opened->heap, AccessShareLock);
}

void
AnnRequireValid(Relation index)
{
	if (!index->rd_index->indisvalid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" is not valid", RelationGetRelationName(index)),
				 errhint("Please REINDEX it.")));
}

Oid
AnnOrderOperator(Relation index)
{
	Oid			type = index->rd_opcintype[0];

	return get_opfamily_member(index->rd_opfamily[0], type, type, 1);
}
